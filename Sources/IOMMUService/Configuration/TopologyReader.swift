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
        smmus: [ConfigurationSection]?, devices: [ConfigurationSection]?, file: String
    ) throws(ConfigurationError) -> TopologyDescription {
        guard smmus != nil || devices != nil else { return .laboratory }
        let topology = TopologyDescription(
            smmus: try ConfigurationFile.each(smmus ?? [], smmu),
            devices: try ConfigurationFile.each(devices ?? [], device))
        if let (path, problem) = TopologyRules.firstProblem(topology) {
            throw ConfigurationError(
                file: file, .key("\(path).\(problem.key)"), problem.text, remedy: problem.remedy)
        }
        return topology
    }

    private static func smmu(_ section: inout ConfigurationSection) throws(ConfigurationError) -> SMMUDescription {
        var smmu = SMMUDescription(name: try section.requiredName("name"))
        smmu.stage1 = try section.boolean("stage1") ?? smmu.stage1
        smmu.stage2 = try section.boolean("stage2") ?? smmu.stage2
        smmu.virtualAddressBits = try section.integer("va_bits", among: [48, 52]) ?? smmu.virtualAddressBits
        smmu.outputAddressBits =
            try section.integer("oas", among: [32, 36, 40, 42, 44, 48, 52]) ?? smmu.outputAddressBits
        if let granules = try granules(&section) {
            smmu.granule4K = granules.contains(.size4K)
            smmu.granule16K = granules.contains(.size16K)
            smmu.granule64K = granules.contains(.size64K)
        }
        let streamTable: StreamTable? = try section.choice("stream_table")
        if let streamTable { smmu.twoLevelStreamTable = streamTable == .twoLevel }
        smmu.streamIDBits = try section.integer("sidsize", in: 0...32) ?? smmu.streamIDBits
        smmu.substreamIDBits = try section.integer("ssidsize", in: 0...20) ?? smmu.substreamIDBits
        smmu.asidBits = try section.integer("asid_bits", among: [8, 16]) ?? smmu.asidBits
        smmu.vmidBits = try section.integer("vmid_bits", among: [8, 16]) ?? smmu.vmidBits
        try readFaultModels(&section, into: &smmu)
        smmu.pri = try section.boolean("pri") ?? smmu.pri
        smmu.ats = try section.boolean("ats") ?? smmu.ats
        smmu.hardwareDirty = try section.boolean("httu") ?? smmu.hardwareDirty
        smmu.rangeInvalidation = try section.boolean("ril") ?? smmu.rangeInvalidation
        smmu.broadcastTLB = try section.boolean("btm") ?? smmu.broadcastTLB
        smmu.forceWriteBack = try section.boolean("fwb") ?? smmu.forceWriteBack
        try section.finish()
        return smmu
    }

    /// `stall` is the short form of `stall_model`.
    private static func readFaultModels(
        _ section: inout ConfigurationSection, into smmu: inout SMMUDescription
    ) throws(ConfigurationError) {
        let stall = try section.boolean("stall")
        let model = try section.integer("stall_model", among: [0, 1, 2])
        if let stall, let model, stall == (model == 1) {
            throw section.error(
                "stall_model", "stall = \(stall) says otherwise", remedy: "leave one of the two out")
        }
        if let stall { smmu.stall = stall }
        smmu.stallModel = model ?? smmu.stallModel
        smmu.terminateModel = try section.integer("term_model", among: [0, 1]) ?? smmu.terminateModel
    }

    private static func granules(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> [Granule]? {
        guard let texts = try section.strings("granules") else { return nil }
        var granules: [Granule] = []
        for (index, text) in texts.enumerated() {
            guard let granule = Granule(rawValue: text) else {
                throw section.error(
                    "granules[\(index)]", "“\(text)” is not a granule", remedy: "write “4K”, “16K” or “64K”")
            }
            granules.append(granule)
        }
        guard !granules.isEmpty else {
            throw section.error("granules", "an SMMU needs a granule", remedy: "write at least [\"4K\"]")
        }
        return granules
    }

    private static func device(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> DeviceDescription {
        let name = try section.requiredName("name")
        let smmu = try section.requiredName("smmu")
        guard let streamIDs = try section.integers("stream_ids", in: 0...Int(UInt32.max)) else {
            throw section.missing("stream_ids")
        }
        var device = DeviceDescription(name: name, smmu: smmu, streamIDs: streamIDs.map { UInt32($0) })
        device.bus = try section.choice("bus") ?? device.bus
        device.group = try section.name("group")
        device.driver = try section.name("driver")
        device.pasidBits = try section.integer("pasid_bits", in: 0...20) ?? device.pasidBits
        device.stall = try section.boolean("stall") ?? device.stall
        device.pri = try section.boolean("pri") ?? device.pri
        device.ats = try section.boolean("ats") ?? device.ats
        device.coherent = try section.boolean("coherent") ?? device.coherent
        device.queues = try section.integer("queues", in: 0...65_536) ?? device.queues
        device.algorithms = try section.strings("algorithms") ?? device.algorithms
        if let reserved = try section.sections("reserved") {
            device.reserved = try ConfigurationFile.each(reserved, region)
        }
        try section.finish()
        return device
    }

    private static func region(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> ReservedRegion {
        let kind: ReservedRegion.Kind = try section.choice("type") ?? .reserved
        guard let start = try section.address("start") else { throw section.missing("start") }
        guard let last = try section.address("last") else { throw section.missing("last") }
        try section.finish()
        guard let range = AddressRange(start: start, last: last) else {
            throw section.error("last", "the region ends before it starts", remedy: "last is the last byte, inclusive")
        }
        return ReservedRegion(range: range, kind: kind)
    }
}
