import IOMMU
import SMMUv3

/// A whole emulated machine: its memory, its SMMUs with their driver, its devices, and who owns what of it.
package final class EmulatedBackend: IOMMUBackend {
    package let machine: Machine
    /// In the order of the topology.
    package let smmus: [EmulatedSMMU]
    package let executor: any WorkExecutor
    package var eventHandler: ((BackendEvent) -> Void)?
    /// Address spaces that devices share with processes.
    package private(set) lazy var sva = SVAManager(
        machine: machine, executor: executor, smmus: smmus, emit: { [unowned self] event in emit(event) })

    /// In the order they were added.
    package internal(set) var devices: [EmulatedDevice] = []
    package internal(set) var groups = IDTable<DeviceGroup>()
    var devicesByName: [String: EmulatedDevice] = [:]

    /// Builds the machine and brings its SMMUs up.
    ///
    /// - Parameters:
    ///   - caches: the size of the SMMUs' caches; a test takes those that never evict.
    ///   - pages: where the driver gets memory from; a test takes a source that fails.
    /// - Throws: what the topology gets wrong, or `ENOMEM`.
    package init(
        topology: TopologyDescription, executor: any WorkExecutor, caches: CacheGeometry = .standard,
        pages: (Machine) -> any PageSource = { $0 }
    ) throws(IOMMUError) {
        self.executor = executor
        let machine = try Machine(outputAddressBits: topology.smmus.map(\.outputAddressBits).min() ?? 44)
        self.machine = machine
        let source = pages(machine)
        var smmus: [EmulatedSMMU] = []
        for description in topology.smmus {
            guard !smmus.contains(where: { $0.name == description.name }) else {
                throw IOMMUError(
                    .EEXIST, "smmu_exists", "there are two SMMUs named \(description.name)",
                    ["smmu": .text(description.name)])
            }
            smmus.append(
                try EmulatedSMMU(description, machine: machine, pages: source, caches: caches, executor: executor))
        }
        self.smmus = smmus
        for smmu in smmus { smmu.driver.events = self }
        for description in topology.devices { try insert(description) }
    }

    package var kind: String { "emulated" }

    package func makeContext(owner: String, account: Account, limits: ContextLimits) -> EmulatedContext {
        EmulatedContext(backend: self, owner: owner, account: account, limits: limits)
    }

    package func emit(_ event: BackendEvent) { eventHandler?(event) }

    // MARK: Look-up

    /// `ENOENT` for an unknown name.
    package func smmu(named name: String) throws(IOMMUError) -> EmulatedSMMU {
        guard let smmu = smmus.first(where: { $0.name == name }) else {
            throw IOMMUError(
                .ENOENT, "unknown_smmu", "there is no SMMU named \(name)", hint: "topology.list names them",
                ["smmu": .text(name)])
        }
        return smmu
    }

    /// `ENODEV` for an unknown name.
    package func device(named name: String) throws(IOMMUError) -> EmulatedDevice {
        guard let device = devicesByName[name] else {
            throw IOMMUError(
                .ENODEV, "unknown_device", "there is no device named \(name)", hint: "topology.list names them",
                ["device": .text(name)])
        }
        return device
    }

    /// The device that a stream belongs to.
    package func device(onSMMU smmu: EmulatedSMMU, streamID: UInt32) -> EmulatedDevice? {
        devices.first { $0.smmu === smmu && $0.description.streamIDs.contains(streamID) }
    }
}
