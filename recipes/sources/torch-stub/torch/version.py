"""Which device torch was built for: none."""

cuda = None
hip = None
xpu = None
