import IOMMU
import JSONRPC

private struct ReservedParameters {
    let start: Param<UInt64>
    let last: Param<UInt64>
    let type: Param<ReservedChoice>

    static var type: ParamType<Object<ReservedParameters>> {
        .object { region in
            ReservedParameters(
                start: region.param("start", .address, "First byte."),
                last: region.param("last", .address, "Last byte, inclusive."),
                type: region.param("type", .choice(ReservedChoice.self), default: .reserved, "Why.")
            )
        }
    }
}

private enum ReservedChoice: String, ParameterChoice {
    case reserved
    case msi
    case sw_msi
    case direct
    case direct_relaxable
}

private enum BusChoice: String, ParameterChoice {
    case pci
    case platform
}

private let topologyName = StringPattern(TopologyName.expression) { TopologyName.isValid($0) }

/// What `device.add` is told, as a configuration file says it of a `[[device]]`.
private struct DeviceParameters {
    let name: Param<String>
    let smmu: Param<String>
    let streamIDs: Param<List<UInt32>>
    let group: Param<String?>
    let driver: Param<String?>
    let pasidBits: Param<UInt32>
    let stall: Param<Bool>
    let pri: Param<Bool>
    let ats: Param<Bool>
    let coherent: Param<Bool>
    let reserved: Param<List<Object<ReservedParameters>>?>
    let queues: Param<UInt32>
    let algorithms: Param<List<String>?>
    let bus: Param<BusChoice>

    init(_ m: MethodBuilder) {
        let named = ParamType.string(maximumBytes: 64, pattern: topologyName)
        name = m.param("name", named, "Its name.")
        smmu = m.param("smmu", .string(maximumBytes: 64), "The SMMU it is behind.")
        streamIDs = m.param("stream_ids", .array(of: .count(), count: 1...256), "Its StreamIDs.")
        group = m.optional("group", named, "Devices that name one move together.")
        driver = m.optional("driver", named, "The driver that `topology.list` shows; absent: none.")
        pasidBits = m.param("pasid_bits", .count(0...20), default: 0, "Bits of its PASIDs; 0: none.")
        stall = m.param("stall", .bool, default: false, "It can wait on a fault.")
        pri = m.param("pri", .bool, default: false, "It can ask for pages; needs `ats`.")
        ats = m.param("ats", .bool, default: false, "It caches translations.")
        coherent = m.param("coherent", .bool, default: true, "Its DMA is coherent with the caches.")
        reserved = m.optional(
            "reserved", .array(of: ReservedParameters.type, count: 0...256),
            "IOVAs it cannot use: whole pages, each named once.")
        queues = m.param("queues", .count(0...65_536), default: 0, "Queues, which need PASIDs; 0: no accelerator.")
        algorithms = m.optional("algorithms", .array(of: named, count: 0...64), "What the accelerator can compute.")
        bus = m.param("bus", .choice(BusChoice.self), default: .pci, "PCI devices reserve the MSI window.")
    }

    func description(_ call: Call) throws -> DeviceDescription {
        var device = DeviceDescription(name: call[name], smmu: call[smmu], streamIDs: call[streamIDs].map { $0 })
        (device.group, device.driver) = (call[group], call[driver])
        device.pasidBits = Int(call[pasidBits])
        (device.stall, device.pri, device.ats) = (call[stall], call[pri], call[ats])
        device.coherent = call[coherent]
        device.queues = Int(call[queues])
        device.algorithms = call[algorithms]?.map { $0 } ?? []
        device.bus = call[bus] == .pci ? .pci : .platform
        device.reserved = try call[reserved]?.map { try ReservedRegion($0) } ?? []
        return device
    }
}

/// `device.add` and `device.remove`: hot plug of devices.
func declareHotplugMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("device.add", "Plug in an emulated device.", role: .admin, changesState: true) { m in
        let device = DeviceParameters(m)
        m.needs(.deviceHotplug)
        m.refuses(.EEXIST, .deviceExists, "There is a device of that name.")
        m.refuses(.EEXIST, .streamIDTaken, "Another device has one of the StreamIDs.")
        m.refuses(.smmuName, .badRange)
        m.refuses(.EINVAL, .streamIDTwice, "A StreamID is given twice.")
        m.refuses(.EINVAL, .badStreamID, "The SMMU has fewer StreamID bits.")
        m.refuses(.EINVAL, .badPASIDBits, "The SMMU has fewer SubstreamID bits.")
        m.refuses(.EINVAL, .noStall, "The SMMU does not stall.")
        m.refuses(.EINVAL, .noATS, "The SMMU has no ATS.")
        m.refuses(.EINVAL, .noPRI, "The SMMU has no PRI queue.")
        m.refuses(.EINVAL, .priWithoutATS, "PRI needs ATS.")
        m.refuses(.EINVAL, .queuesWithoutPASIDs, "The queues of an accelerator need PASIDs.")
        m.refuses(.EINVAL, .regionNotPages, "A reserved region is not whole pages.")
        m.refuses(.EINVAL, .regionsOverlap, "Two reserved regions overlap.")
        m.refuses(.EINVAL, .groupSpansSmmus, "The group's devices are behind another SMMU.")
        return { call, service in
            let hotplug = try service.deviceHotplug()
            let description = try device.description(call)
            if let keeper = service.keeper {
                try keeper.addDevice(description, hotplug)
            } else {
                try hotplug.addDevice(description)
            }
            return call.reply()
        }
    }

    declareRemoval(&methods)
}

private func declareRemoval(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "device.remove", "Unplug an emulated device, bound or not.", role: .admin, changesState: true
    ) { m in
        let name = m.param("name", .string(maximumBytes: 64), "Its name.")
        m.needs(.deviceHotplug)
        m.refuses(.deviceName)
        return { call, service in
            let hotplug = try service.deviceHotplug()
            if let keeper = service.keeper {
                try keeper.removeDevice(named: call[name], hotplug)
            } else {
                try hotplug.removeDevice(named: call[name])
            }
            return call.reply()
        }
    }
}

extension ReservedRegion {
    fileprivate init(_ region: Object<ReservedParameters>) throws(IOMMUError) {
        let range = try orderedRange(region[region.fields.start], region[region.fields.last])
        self.init(range: range, kind: Kind(rawValue: region[region.fields.type].rawValue) ?? .reserved)
    }
}
