"""torchaudio finds the pitch of a tone in its spectrum, also after changing the rate."""

from __future__ import annotations

import math

from lib.outcome import run_check


def pitch(sound: object, rate: int) -> float:
    """Frequency in Hz at which the spectrum of `sound` is strongest."""
    from torchaudio import transforms

    spectrum = transforms.Spectrogram(n_fft=2048)(sound).mean(dim=-1)
    return float(spectrum.argmax()) * rate / 2048


def check() -> dict[str, object]:
    import torch
    from torchaudio import functional, transforms

    rate = 16000
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(rate) / rate)
    found = pitch(tone, rate)
    if not (abs(found - 1000) < 10):
        raise AssertionError(f"{found:.0f} Hz instead of 1000")
    slower = functional.resample(tone, rate, 8000)
    if slower.shape != (8000,):
        raise AssertionError(f"{slower.shape} samples after resampling")
    if not (abs(pitch(slower, 8000) - 1000) < 10):
        raise AssertionError("another pitch after resampling")
    mel = transforms.MelSpectrogram(rate, n_mels=40)(tone)
    if not (mel.shape[0] == 40 and bool(torch.isfinite(mel).all())):
        raise AssertionError("no mel spectrum")
    return {"pitch": round(found, 1), "mel": list(mel.shape)}


if __name__ == "__main__":
    run_check(__file__, check)
