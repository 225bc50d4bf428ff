import IOMMU

/// Asked for every mapping; here, where it is inlined.
extension IOMMU.Access {
    @inline(__always)
    var allowsReading: Bool { rawValue & 1 != 0 }
    @inline(__always)
    var allowsWriting: Bool { rawValue & 2 != 0 }
}
