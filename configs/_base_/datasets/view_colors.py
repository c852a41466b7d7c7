# Parts of a view that keep its geometry, as in Barlow Twins, for images in BGR (files)
jitter = dict(
    type='snnssl_mm.OpenCVColorJitter',
    prob=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.2,
    hue=0.1)
gray = dict(type='snnssl_mm.OpenCVColorJitter', prob=0.2, saturation=(0, 0))
solarize = dict(type='Solarize', thr=128, prob=0.2)
# Last in a view, since OpenCV has to copy an image that is stored mirrored
flip = dict(type='RandomFlip', prob=0.5)
