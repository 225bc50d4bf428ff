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
}

private enum BusChoice: String, ParameterChoice {
    case pci
    case platform
}

private let topologyName = StringPattern(TopologyName.expression) { TopologyName.isValid($0) }

/// `device.add` and `device.remove`: hot plug of emulated devices.
func declareHotplugMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("device.add", "Plug in an emulated device.", role: .admin, changesState: true) { m in
        let name = m.param("name", .string(maximumBytes: 64, pattern: topologyName), "Its name.")
        let smmu = m.param("smmu", .string(maximumBytes: 64), "The SMMU it is behind.")
        let streamIDs = m.param("stream_ids", .array(of: .count(), count: 1...256), "Its StreamIDs.")
        let group = m.optional(
            "group", .string(maximumBytes: 64, pattern: topologyName), "Devices that name one move together.")
        let pasidBits = m.param("pasid_bits", .count(0...20), default: 0, "Bits of its PASIDs; 0: none.")
        let stall = m.param("stall", .bool, default: false, "It can wait on a fault.")
        let pri = m.param("pri", .bool, default: false, "It can ask for pages.")
        let ats = m.param("ats", .bool, default: false, "It caches translations.")
        let coherent = m.param("coherent", .bool, default: true, "Its DMA is coherent with the caches.")
        let reserved = m.optional(
            "reserved", .array(of: ReservedParameters.type, count: 0...256), "IOVAs it cannot use.")
        let queues = m.param("queues", .count(0...65_536), default: 0, "Queues; 0: not an accelerator.")
        let bus = m.param("bus", .choice(BusChoice.self), default: .pci, "PCI devices reserve the MSI window.")
        m.needs(.deviceHotplug)
        m.refuses(.EEXIST, .deviceExists, "There is a device of that name, or with one of the StreamIDs.")
        m.refuses(.EINVAL, .badPASIDBits, "The SMMU cannot do what the device is said to do.")
        return { call, service in
            var description = DeviceDescription(
                name: call[name], smmu: call[smmu], streamIDs: call[streamIDs].map { $0 })
            description.group = call[group]
            description.pasidBits = Int(call[pasidBits])
            (description.stall, description.pri, description.ats) = (call[stall], call[pri], call[ats])
            description.coherent = call[coherent]
            description.queues = Int(call[queues])
            description.bus = call[bus] == .pci ? .pci : .platform
            description.reserved = try call[reserved]?.map { try ReservedRegion($0) } ?? []
            try service.deviceHotplug().addDevice(description)
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
        m.refuses(.ENODEV, .unknownDevice, "There is no device of that name.")
        return { call, service in
            try service.deviceHotplug().removeDevice(named: call[name])
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
