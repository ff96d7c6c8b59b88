# What the scripts of this folder and provision.ps1 share: a log, artefacts that are what the lock says, the PATH.
# For Windows PowerShell 5.1, which Windows Server brings. No character beyond ASCII: it would be read by a code page.

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

function Start-Provision {
    # Makes the log's folder; returns what every script is called with. Root holds the folders store and files.
    param([string] $Root, [string] $Log)
    $null = New-Item -ItemType Directory -Force -Path $Log
    Remove-Item -LiteralPath (Join-Path $Log 'reboot-required') -ErrorAction Ignore
    @{ Store = (Join-Path $Root 'store'); Log = $Log }
}

function Complete-Provision {
    # Lays the small files below the system drive; returns the exit code: 0, or 3010 when Windows has to start anew.
    param([string] $Root, [string] $Log)
    $files = Join-Path $Root 'files'
    if (Test-Path -LiteralPath $files) {
        Copy-Item -Path (Join-Path $files '*') -Destination "$env:SystemDrive\" -Recurse -Force
    }
    if (Test-Path -LiteralPath (Join-Path $Log 'reboot-required')) { return 3010 }
    return 0
}

function Write-Log {
    param([string] $Log, [string] $Message)
    $line = '{0:yyyy-MM-ddTHH:mm:ssK} {1}' -f [DateTime]::Now, $Message
    Write-Host $line
    Add-Content -LiteralPath (Join-Path $Log 'provision.log') -Value $line -Encoding UTF8
}

function Request-Reboot {
    param([string] $Log)
    $null = New-Item -ItemType File -Force -Path (Join-Path $Log 'reboot-required')
}

function Read-Section {
    # What the lock says of the artefacts in the folder STORE\SECTION.
    param([string] $Store, [string] $Section)
    $path = Join-Path (Join-Path $Store $Section) 'section.json'
    Get-Content -LiteralPath $path -Raw -Encoding UTF8 | ConvertFrom-Json
}

function Assert-Sha256 {
    # Ends everything when a file is missing, or is another one than the lock names.
    param([string] $Path, [string] $Sha256)
    if (-not (Test-Path -LiteralPath $Path -PathType Leaf)) { throw "${Path}: missing" }
    $found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($found -ne $Sha256) { throw "${Path}: its SHA-256 is $($found.ToLowerInvariant()), not $Sha256" }
}

function Add-MachinePath {
    # Adds folders to the PATH of all users, last or first, and takes it over into this process.
    param([string[]] $Folder, [switch] $First)
    $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey(
        'SYSTEM\CurrentControlSet\Control\Session Manager\Environment', $true)
    try {
        # as it is written, with its variables: what other programs put there stays
        $asWritten = [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames
        $old = @($key.GetValue('Path', '', $asWritten).Split(';') | Where-Object { $_ })
        $new = @($Folder | Where-Object { $old -notcontains $_ })
        $all = if ($First) { $new + $old } else { $old + $new }
        $key.SetValue('Path', ($all -join ';'), [Microsoft.Win32.RegistryValueKind]::ExpandString)
    }
    finally {
        $key.Close()
    }
    Update-ProcessPath
}

function Update-ProcessPath {
    # Programs that were just installed are found by what comes after them.
    $env:Path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
}

function Set-MachineVariable {
    param([string] $Name, [string] $Value)
    [Environment]::SetEnvironmentVariable($Name, $Value, 'Machine')
}

function Expand-Zip {
    # Unpacks into a folder that is made anew. .NET refuses entries that lead out of it.
    param([string] $Path, [string] $Folder)
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    if (Test-Path -LiteralPath $Folder) { Remove-Item -LiteralPath $Folder -Recurse -Force }
    $null = New-Item -ItemType Directory -Force -Path $Folder
    [IO.Compression.ZipFile]::ExtractToDirectory($Path, $Folder)
}

function Invoke-Installer {
    # Runs a program to its end, which must come within so many minutes; returns its exit code.
    param([string] $File, [string] $Arguments, [int] $Minutes = 60)
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = $Arguments
    $start.UseShellExecute = $false
    $start.WorkingDirectory = $env:SystemRoot
    $process = [Diagnostics.Process]::Start($start)
    if (-not $process.WaitForExit($Minutes * 60000)) {
        $process.Kill()
        throw "${File}: no end after $Minutes minutes"
    }
    $process.ExitCode
}
