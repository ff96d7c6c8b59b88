<#
.SYNOPSIS
Makes a Python environment of the wheels of a section, from a local folder and without a network.

.DESCRIPTION
STORE\SECTION holds the wheels and section.json, STORE\BUILDER the wheel of uv, which installs them and compares each
with the SHA-256 that the lock names.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory, Position = 0)] [string] $Section,
    [Parameter(Mandatory, Position = 1)] [string] $Builder,
    [Parameter(Mandatory, Position = 2)] [string] $Prefix,
    [Parameter(Mandatory, Position = 3)] [string] $Version,
    [Parameter(Mandatory)] [string] $Store,
    [Parameter(Mandatory)] [string] $Log
)

. (Join-Path $PSScriptRoot 'Common.ps1')

function Find-Python {
    # The system's Python of a version, as its installer registers it: https://peps.python.org/pep-0514/
    param([string] $Version)
    $key = "HKLM:\SOFTWARE\Python\PythonCore\$Version\InstallPath"
    if (-not (Test-Path -LiteralPath $key)) { throw "there is no Python $Version for all users" }
    (Get-ItemProperty -LiteralPath $key).ExecutablePath
}

function Expand-Uv {
    param([string] $Folder)
    $pin = @((Read-Section -Store $Store -Section $Builder).pins)[0]
    $wheel = Join-Path (Join-Path $Store $Builder) $pin.file
    Assert-Sha256 -Path $wheel -Sha256 $pin.sha256
    Expand-Zip -Path $wheel -Folder $Folder
    (Get-ChildItem -LiteralPath $Folder -Recurse -Filter 'uv.exe' | Select-Object -First 1).FullName
}

function Invoke-Uv {
    param([string] $Uv, [string[]] $Arguments)
    & $Uv @Arguments
    if ($LASTEXITCODE -ne 0) { throw "uv $($Arguments[0]) $($Arguments[1]): exit code $LASTEXITCODE" }
}

$work = Join-Path $env:SystemRoot 'Temp\dsvm-pypi'
$env:UV_OFFLINE = '1'
$env:UV_NO_CONFIG = '1'
$env:UV_CACHE_DIR = Join-Path $work 'cache'

$pins = @((Read-Section -Store $Store -Section $Section).pins)
Write-Log -Log $Log -Message "${Prefix}: $($pins.Count) packages for Python $Version"
$uv = Expand-Uv -Folder (Join-Path $work 'uv')
if (Test-Path -LiteralPath $Prefix) { Remove-Item -LiteralPath $Prefix -Recurse -Force }
Invoke-Uv -Uv $uv -Arguments @('venv', '--quiet', '--python', (Find-Python $Version), $Prefix)

$wanted = foreach ($pin in $pins) {
    $wheel = Join-Path (Join-Path $Store $Section) $pin.file
    "$($pin.name) @ $(([Uri] $wheel).AbsoluteUri) --hash=sha256:$($pin.sha256)"
}
$requirements = Join-Path $work 'requirements.txt'
# without a byte order mark, which is no part of a requirement
[IO.File]::WriteAllLines($requirements, [string[]] @($wanted))
Invoke-Uv -Uv $uv -Arguments @(
    'pip', 'install', '--quiet', '--python', (Join-Path $Prefix 'Scripts\python.exe'),
    '--no-index', '--no-deps', '--require-hashes', '--compile-bytecode', '--requirement', $requirements)
if ((Split-Path -Leaf $Prefix) -eq 'base') { Add-MachinePath -First (Join-Path $Prefix 'Scripts') }
Remove-Item -LiteralPath $work -Recurse -Force
Write-Log -Log $Log -Message "${Prefix}: done"
