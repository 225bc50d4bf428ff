import IOMMU

/// `[[smmu]]` and `[[device]]`: the emulated machine.
enum TopologyReader {
    private enum StreamTable: String, CaseIterable {
        case linear
        case twoLevel = "two_level"
    }

    private enum Granule: String, CaseIterable {
        case size4K = "4K"
        case size16K = "16K"
        case size64K = "64K"
    }

    /// - Parameters: nil: the file has none. A file that names neither gets the built-in machine.
    static func read(
        smmus: [ConfigurationSection]?, devices: [ConfigurationSection]?, file: String, mistakes: ConfigurationMistakes
    ) -> TopologyDescription {
        guard smmus != nil || devices != nil else { return .laboratory }
        let smmus = ConfigurationFile.each(smmus ?? [], smmu)
        let devices = ConfigurationFile.each(devices ?? [], device)
        let topology = TopologyDescription(smmus: smmus.compactMap(\.self), devices: devices.compactMap(\.self))
        // Without one that cannot be read the rules would find fault with what refers to it.
        guard topology.smmus.count == smmus.count, topology.devices.count == devices.count else { return topology }
        for (path, problem) in TopologyRules.problems(topology) {
            mistakes.note(
                ConfigurationError(
                    file: file, .key("\(path).\(problem.key)"), problem.text, remedy: problem.remedy))
        }
        return topology
    }

    private static func smmu(_ section: inout ConfigurationSection) -> SMMUDescription? {
        let name = section.requiredName("name")
        var smmu = SMMUDescription(name: name ?? "")
        smmu.stage1 = section.boolean("stage1") ?? smmu.stage1
        smmu.stage2 = section.boolean("stage2") ?? smmu.stage2
        smmu.virtualAddressBits = section.integer("va_bits", among: [48, 52]) ?? smmu.virtualAddressBits
        smmu.outputAddressBits =
            section.integer("oas", among: [32, 36, 40, 42, 44, 48, 52]) ?? smmu.outputAddressBits
        if let granules = granules(&section) {
            smmu.granule4K = granules.contains(.size4K)
            smmu.granule16K = granules.contains(.size16K)
            smmu.granule64K = granules.contains(.size64K)
        }
        let streamTable: StreamTable? = section.choice("stream_table")
        if let streamTable { smmu.twoLevelStreamTable = streamTable == .twoLevel }
        smmu.streamIDBits = section.integer("sidsize", in: 0...32) ?? smmu.streamIDBits
        smmu.substreamIDBits = section.integer("ssidsize", in: 0...20) ?? smmu.substreamIDBits
        smmu.asidBits = section.integer("asid_bits", among: [8, 16]) ?? smmu.asidBits
        smmu.vmidBits = section.integer("vmid_bits", among: [8, 16]) ?? smmu.vmidBits
        readFaultModels(&section, into: &smmu)
        smmu.pri = section.boolean("pri") ?? smmu.pri
        smmu.ats = section.boolean("ats") ?? smmu.ats
        smmu.hardwareDirty = section.boolean("httu") ?? smmu.hardwareDirty
        smmu.rangeInvalidation = section.boolean("ril") ?? smmu.rangeInvalidation
        smmu.broadcastTLB = section.boolean("btm") ?? smmu.broadcastTLB
        smmu.forceWriteBack = section.boolean("fwb") ?? smmu.forceWriteBack
        section.finish()
        return name == nil ? nil : smmu
    }

    /// `stall` is the short form of `stall_model`.
    private static func readFaultModels(
        _ section: inout ConfigurationSection, into smmu: inout SMMUDescription
    ) {
        let stall = section.boolean("stall")
        let model = section.integer("stall_model", among: [0, 1, 2])
        if let stall, let model, stall == (model == 1) {
            section.note("stall_model", "stall = \(stall) says otherwise", remedy: "leave one of the two out")
        }
        if let stall { smmu.stall = stall }
        smmu.stallModel = model ?? smmu.stallModel
        smmu.terminateModel = section.integer("term_model", among: [0, 1]) ?? smmu.terminateModel
    }

    private static func granules(
        _ section: inout ConfigurationSection
    ) -> [Granule]? {
        guard let texts = section.strings("granules") else { return nil }
        var granules: [Granule] = []
        for (index, text) in texts.enumerated() {
            guard let granule = Granule(rawValue: text) else {
                section.note(
                    "granules[\(index)]", "“\(text)” is not a granule", remedy: "write “4K”, “16K” or “64K”")
                return nil
            }
            granules.append(granule)
        }
        guard !granules.isEmpty else {
            section.note("granules", "an SMMU needs a granule", remedy: "write at least [\"4K\"]")
            return nil
        }
        return granules
    }

    private static func device(
        _ section: inout ConfigurationSection
    ) -> DeviceDescription? {
        let name = section.requiredName("name")
        let smmu = section.requiredName("smmu")
        let streamIDs = section.integers("stream_ids", in: 0...Int(UInt32.max)) ?? section.missing("stream_ids")
        var device = DeviceDescription(
            name: name ?? "", smmu: smmu ?? "", streamIDs: (streamIDs ?? []).map { UInt32($0) })
        device.bus = section.choice("bus") ?? device.bus
        device.group = section.name("group")
        device.driver = section.name("driver")
        device.pasidBits = section.integer("pasid_bits", in: 0...20) ?? device.pasidBits
        device.stall = section.boolean("stall") ?? device.stall
        device.pri = section.boolean("pri") ?? device.pri
        device.ats = section.boolean("ats") ?? device.ats
        device.coherent = section.boolean("coherent") ?? device.coherent
        device.queues = section.integer("queues", in: 0...65_536) ?? device.queues
        device.algorithms = section.strings("algorithms") ?? device.algorithms
        if let reserved = section.sections("reserved") {
            device.reserved = ConfigurationFile.each(reserved, region).compactMap(\.self)
        }
        section.finish()
        return name == nil || smmu == nil || streamIDs == nil ? nil : device
    }

    private static func region(
        _ section: inout ConfigurationSection
    ) -> ReservedRegion? {
        defer { section.finish() }
        let kind: ReservedRegion.Kind = section.choice("type") ?? .reserved
        let start = section.address("start") ?? section.missing("start")
        let last = section.address("last") ?? section.missing("last")
        guard let start, let last else { return nil }
        guard let range = AddressRange(start: start, last: last) else {
            section.note("last", "the region ends before it starts", remedy: "last is the last byte, inclusive")
            return nil
        }
        return ReservedRegion(range: range, kind: kind)
    }
}
