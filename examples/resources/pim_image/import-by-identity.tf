import {
  to = pim_image.web
  identity = {
    id = "5c2d8a90f1e3c6d7f0b1a2c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3e4f5061"
  }
}
