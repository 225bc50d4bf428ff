import IOMMU

/// Everything that can be configured, with the values that hold where no file says otherwise.
package struct Configuration: Sendable, Equatable {
    package var daemon = DaemonConfiguration()
    package var backend = BackendConfiguration()
    package var limits = LimitsConfiguration()
    /// Who may bind which device; without any rule everyone, on the emulated backend.
    package var access = AccessPolicy(allowsByDefault: true)
    /// The machine of the emulated backend.
    package var topology = TopologyDescription.laboratory

    package init() {}
}

/// `[backend]`: what stands behind the RPCs.
package struct BackendConfiguration: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        /// SMMUv3s and devices in this process.
        case emulated
    }

    package var type = Kind.emulated

    package init() {}
}
