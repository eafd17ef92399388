package provision

// CheckGeneric is the check that ends Finalize.
var CheckGeneric = (*Guest).checkGeneric
