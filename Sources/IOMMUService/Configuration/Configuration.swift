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
    /// Address space for translation tables and queues of the emulated SMMUs, in bytes.
    package var tableSpace = 64 << 30

    package init() {}

    init(_ section: inout ConfigurationSection) throws(ConfigurationError) {
        type = try section.choice("type") ?? type
        tableSpace = try section.bytes("table_space", in: 16 << 20...64 << 30) ?? tableSpace
        try section.finish()
    }
}
