/// The hardware as `topology.list` shows it: what a machine tells of itself, which is not the same everywhere.
package struct TopologyState: Sendable {
    /// One SMMU.
    package struct SMMU: Sendable {
        /// As devices name it.
        package var name: String
        /// What it implements.
        package var features: [String]
        /// IDR0…IDR5; nil where the system does not tell them.
        package var idr: [UInt32]?

        /// With these properties.
        package init(name: String, features: [String], idr: [UInt32]?) {
            self.name = name
            self.features = features
            self.idr = idr
        }
    }

    /// Devices that the fabric cannot tell apart.
    package struct Group: Sendable {
        /// Its number.
        package var id: UInt32
        /// Their names.
        package var devices: [String]

        /// With these properties.
        package init(id: UInt32, devices: [String]) {
            self.id = id
            self.devices = devices
        }
    }

    /// One device.
    package struct Device: Sendable {
        /// Unique.
        package var name: String
        /// nil: none, or it is not known which.
        package var smmu: String?
        /// nil where the system does not tell them.
        package var streamIDs: [UInt32]?
        /// nil: it has none.
        package var group: UInt32?
        /// It can be handed out without an IOMMU only.
        package var isNoIOMMU = false
        /// The driver that has it; nil: none.
        package var driver: String?
        /// The path of its vfio device node; nil where there is none.
        package var cdev: String?
        /// Whether a vfio driver has it; nil where there are no drivers.
        package var isVFIOBound: Bool?
        /// It caches translations.
        package var ats = false
        /// It can ask for pages.
        package var pri = false
        /// It can wait on a fault.
        package var stall = false
        /// Its DMA is coherent with the caches.
        package var coherent = true
        /// 0: no PASIDs.
        package var pasidBits = 0
        /// The MSI window included, where its bus has one.
        package var reserved: [ReservedRegion] = []
        /// Who has bound it.
        package var boundBy: Holder?

        /// With these properties.
        package init(name: String) { self.name = name }
    }

    /// An accelerator with queues (uacce).
    package struct Accelerator: Sendable {
        /// Its device.
        package var name: String
        /// How its queues are used.
        package var api: String
        /// What it can compute.
        package var algorithms: [String]
        /// Queues that can be opened now.
        package var queuesAvailable: Int

        /// With these properties.
        package init(name: String, api: String, algorithms: [String], queuesAvailable: Int) {
            self.name = name
            self.api = api
            self.algorithms = algorithms
            self.queuesAvailable = queuesAvailable
        }
    }

    /// The SMMUs.
    package var smmus: [SMMU]
    /// The groups, by number.
    package var groups: [Group]
    /// The devices, in the order they came.
    package var devices: [Device]
    /// The accelerators with queues.
    package var accelerators: [Accelerator]

    /// With these properties.
    package init(smmus: [SMMU], groups: [Group], devices: [Device], accelerators: [Accelerator]) {
        self.smmus = smmus
        self.groups = groups
        self.devices = devices
        self.accelerators = accelerators
    }
}
