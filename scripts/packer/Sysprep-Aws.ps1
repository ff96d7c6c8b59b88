# Makes an image for many machines of this one; Packer stops it afterwards.
# https://docs.aws.amazon.com/AWSEC2/latest/WindowsGuide/ec2launch-v2-settings.html
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$launch = Join-Path $env:ProgramFiles 'Amazon\EC2Launch\EC2Launch.exe'
foreach ($arguments in @('reset', '--block'), @('sysprep', '--shutdown=false', '--block')) {
    & $launch @arguments
    if ($LASTEXITCODE -ne 0) { throw "EC2Launch $($arguments -join ' ') ended with exit code $LASTEXITCODE" }
}
