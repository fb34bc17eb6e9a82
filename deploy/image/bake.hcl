# Both images for several platforms, with their SBOM and provenance as attestations:
#   docker buildx bake --file deploy/image/bake.hcl --push
# A registry is needed, because a local image store holds one platform's image: REGISTRY=registry.example.com/team
variable "REGISTRY" {
  default = ""
}

variable "VERSION" {
  default = "0.1.0"
}

variable "PLATFORMS" {
  default = "linux/amd64,linux/arm64"
}

group "default" {
  targets = ["dagway", "dagway-worker"]
}

target "both" {
  context    = "."
  dockerfile = "Dockerfile"
  platforms  = split(",", PLATFORMS)
  attest     = ["type=sbom", "type=provenance,mode=max"]
}

target "dagway" {
  inherits = ["both"]
  tags     = ["${REGISTRY == "" ? "" : "${REGISTRY}/"}dagway:${VERSION}"]
}

target "dagway-worker" {
  inherits = ["both"]
  target   = "worker"
  tags     = ["${REGISTRY == "" ? "" : "${REGISTRY}/"}dagway-worker:${VERSION}"]
}
