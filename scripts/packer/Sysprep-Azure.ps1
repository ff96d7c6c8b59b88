# Makes an image for many machines of this one. Azure's agents have to run, or they would not start in those.
# https://learn.microsoft.com/azure/virtual-machines/generalize
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

foreach ($name in 'RdAgent', 'WindowsAzureGuestAgent') {
    $deadline = [DateTime]::Now.AddMinutes(10)
    while ((Get-Service -Name $name).Status -ne 'Running') {
        if ([DateTime]::Now -gt $deadline) { throw "the service $name does not run" }
        Start-Sleep -Seconds 5
    }
}

Remove-Item -Path "$env:SystemRoot\Panther" -Recurse -Force -ErrorAction Ignore
Start-Process -FilePath "$env:SystemRoot\System32\Sysprep\Sysprep.exe" -Wait -ArgumentList @(
    '/oobe', '/generalize', '/quiet', '/quit', '/mode:vm')
$key = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State'
$deadline = [DateTime]::Now.AddMinutes(20)
while ((Get-ItemProperty -Path $key).ImageState -ne 'IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE') {
    if ([DateTime]::Now -gt $deadline) {
        throw "Sysprep did not finish: $((Get-ItemProperty -Path $key).ImageState)"
    }
    Start-Sleep -Seconds 5
}
