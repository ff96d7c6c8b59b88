# tiny-windows: provisions a virtual machine from the folder in which this file lies, without a network.
# Rendered from lock 71d761ae113f; do not edit. Beside it lie the folders scripts, files and store.
# Exit code 3010: all is done, and Windows has to start anew.
[CmdletBinding()]
param(
    [string] $Log = (Join-Path $env:ProgramData 'dsvm\log')
)

$scripts = Join-Path $PSScriptRoot 'scripts'
. (Join-Path $scripts 'Common.ps1')
$common = Start-Provision -Root $PSScriptRoot -Log $Log

Write-Log -Log $Log -Message 'system packages'
& (Join-Path $scripts 'Install-Winget.ps1') @common 'system'

Write-Log -Log $Log -Message 'arrays'
& (Join-Path $scripts 'Install-Pypi.ps1') @common 'env-base' 'builder-pypi-pypi' 'C:\dsvm\envs\base' '3.13'

Set-MachineVariable -Name 'ARRAYS_HOME' -Value 'C:\it''s $env:TEMP "x" `id` $(whoami)'
Set-MachineVariable -Name 'ARRAYS_NAME' -Value '‘‘a’’ ‚‚b‛‛ é'

exit (Complete-Provision -Root $PSScriptRoot -Log $Log)
