"""Training clips: still images and videos -> batches, a pure function of seed and sample number.

images = static_images(root)
source = StaticClips(images, name="ecssd", settings=ClipSettings(size=(384, 384)))
mixture = ClipMixture([MixtureEntry(source, repeat=1)], seed=0, total_samples=10_000)
for batch in ClipLoader(mixture, batch_size=4, workers=2): ...

Settings, sources and images need no torch; ``batch``, ``mixture`` and ``loading`` do.
"""
