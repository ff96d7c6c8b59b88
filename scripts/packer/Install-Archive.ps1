# Unpacks the archive DSVM_ARCHIVE, whose SHA-256 has to be DSVM_SHA256, and runs the provision.ps1 in it.
# Exit code 3010: all is done, and Windows has to start anew.
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$found = (Get-FileHash -LiteralPath $env:DSVM_ARCHIVE -Algorithm SHA256).Hash
if ($found -ne $env:DSVM_SHA256) {
    throw "$($env:DSVM_ARCHIVE): its SHA-256 is $($found.ToLowerInvariant()), not $($env:DSVM_SHA256)"
}
# short: what unpacks below it has long paths
$folder = Join-Path $env:SystemDrive 'dsvm-install'
Add-Type -AssemblyName System.IO.Compression.FileSystem
[IO.Compression.ZipFile]::ExtractToDirectory($env:DSVM_ARCHIVE, $folder)
Remove-Item -LiteralPath $env:DSVM_ARCHIVE

& powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File (Join-Path $folder 'provision.ps1')
$code = $LASTEXITCODE
Remove-Item -LiteralPath $folder -Recurse -Force
exit $code
