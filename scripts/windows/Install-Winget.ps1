<#
.SYNOPSIS
Installs the Windows packages of a section from a local folder: silently, in order, without a network.

.DESCRIPTION
STORE\SECTION holds the installers and section.json, which says what they are and how each is run. An installer that is
not what the lock names, or that ends with an exit code that means no success, ends everything. What has been installed
is written down in C:\ProgramData\dsvm\installed and passed over when the script runs again.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory, Position = 0)] [string] $Section,
    [Parameter(Mandatory)] [string] $Store,
    [Parameter(Mandatory)] [string] $Log
)

. (Join-Path $PSScriptRoot 'Common.ps1')

$stamps = Join-Path $env:ProgramData 'dsvm\installed'
$programs = Join-Path $env:ProgramFiles 'dsvm'

function Test-Installed {
    param($Pin)
    $stamp = Join-Path $stamps "$($Pin.name).json"
    if (-not (Test-Path -LiteralPath $stamp)) { return $false }
    $there = Get-Content -LiteralPath $stamp -Raw -Encoding UTF8 | ConvertFrom-Json
    return $there.sha256 -eq $Pin.sha256
}

function Save-Installed {
    param($Pin)
    $null = New-Item -ItemType Directory -Force -Path $stamps
    $stamp = @{ name = $Pin.name; version = $Pin.version; sha256 = $Pin.sha256 }
    $stamp | ConvertTo-Json | Set-Content -LiteralPath (Join-Path $stamps "$($Pin.name).json") -Encoding UTF8
}

function Install-Portable {
    # A single program: under the name that users type, in a folder of its own on the PATH.
    param([string] $File, [string] $Name, [string] $Alias)
    $folder = Join-Path $programs $Name
    $null = New-Item -ItemType Directory -Force -Path $folder
    Copy-Item -LiteralPath $File -Destination (Join-Path $folder "$Alias.exe") -Force
    Add-MachinePath $folder
}

function Install-Unpacked {
    # Programs of a zip: where they were unpacked, next to the libraries that they load, on the PATH.
    param([string] $Folder, $Files)
    foreach ($file in $Files) {
        $path = Join-Path $Folder $file.path
        if (-not (Test-Path -LiteralPath $path -PathType Leaf)) { throw "${path}: the archive does not hold it" }
        $place = Split-Path -Parent $path
        $alias = Join-Path $place "$($file.alias).exe"
        if ($file.alias -and -not (Test-Path -LiteralPath $alias)) {
            $null = New-Item -ItemType HardLink -Path $alias -Value $path
        }
        Add-MachinePath $place
    }
}

function Install-Program {
    # Installs one file as $How says; returns an exit code.
    param([string] $File, [string] $Name, $How, [string] $OwnLog)
    $type = $How.type
    if ($type -eq 'zip') {
        $folder = Join-Path $programs $Name
        Expand-Zip -Path $File -Folder $folder
        if ($How.inside -eq 'portable') {
            Install-Unpacked -Folder $folder -Files $How.files
            return 0
        }
        $type = $How.inside
        $File = Join-Path $folder $How.files[0].path
    }
    if ($type -eq 'portable') {
        Install-Portable -File $File -Name $Name -Alias $How.alias
        return 0
    }
    $arguments = $How.arguments.Replace('<LOGPATH>', $OwnLog)
    if ($type -eq 'msi' -or $type -eq 'wix') {
        return Invoke-Installer -File (Join-Path $env:SystemRoot 'System32\msiexec.exe') -Arguments "/i `"$File`" $arguments"
    }
    return Invoke-Installer -File $File -Arguments $arguments
}

$read = Read-Section -Store $Store -Section $Section
foreach ($name in $read.extra.order) {
    $pin = $read.pins | Where-Object { $_.name -eq $name }
    $how = $read.extra.installers.$name
    if (Test-Installed $pin) {
        Write-Log -Log $Log -Message "$name $($pin.version) is installed"
        continue
    }
    $file = Join-Path (Join-Path $Store $Section) $how.file
    Assert-Sha256 -Path $file -Sha256 $pin.sha256
    Write-Log -Log $Log -Message "$name $($pin.version): installing ($($how.type))"
    $ownLog = Join-Path $Log "$name.log"
    $code = Install-Program -File $file -Name $name -How $how -OwnLog $ownLog
    if ($how.reboot -contains $code) {
        Request-Reboot -Log $Log
    }
    elseif ($how.success -notcontains $code) {
        throw "$name $($pin.version): its installer ended with exit code $code; it may have written $ownLog"
    }
    Update-ProcessPath
    foreach ($folder in $how.path) {
        $place = [Environment]::ExpandEnvironmentVariables($folder)
        if (-not (Test-Path -LiteralPath $place)) { throw "$name $($pin.version): there is no folder $place for the PATH" }
        Add-MachinePath $place
    }
    Save-Installed $pin
    Write-Log -Log $Log -Message "$name $($pin.version): exit code $code"
}
