import {
  to = pim_image.web
  id = "5c2d8a90f1e3"
}
