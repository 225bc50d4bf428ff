import IOMMU

/// Everything that can be configured, with the values that hold where no file says otherwise.
package struct Configuration: Sendable, Equatable {
    /// `[daemon]`
    package var daemon = DaemonConfiguration()
    /// `[backend]`
    package var backend = BackendConfiguration()
    /// `[limits]`
    package var limits = LimitsConfiguration()
    /// Who may bind which device; without any rule everyone on the emulated backend, administrators on the kernel's.
    package var access = AccessPolicy(allowsByDefault: true)
    /// What one user may hold of what is everybody's.
    package var shares = ShareRules()
    /// The machine of the emulated backend.
    package var topology = TopologyDescription.laboratory

    /// The defaults: what holds without a file.
    package init() {}
}

/// `[backend]`: what stands behind the RPCs.
package struct BackendConfiguration: Sendable, Equatable {
    /// The backends that can be chosen.
    package enum Kind: String, Sendable, CaseIterable {
        /// SMMUv3s and devices in this process.
        case emulated
        /// The IOMMUs of the machine, through `/dev/iommu`.
        case kernel
        /// The machine's if `/dev/iommu` can be opened, else emulated ones.
        case auto
    }

    /// The one that is.
    package var type = Kind.emulated
    /// Address space for translation tables and queues of the emulated SMMUs, in bytes.
    package var tableSpace = 64 << 30

    /// The emulated one.
    package init() {}

    init(_ section: inout ConfigurationSection) {
        type = section.choice("type") ?? type
        tableSpace = section.bytes("table_space", in: 16 << 20...64 << 30) ?? tableSpace
        section.finish()
    }
}
