import IOMMU

/// What makes a topology one that the emulated backend can build.
enum TopologyRules {
    /// A mistake: the key it is at, what is wrong, what to do.
    struct Problem: Equatable {
        let key: String
        let text: String
        let remedy: String
    }

    /// The first mistake in file order, SMMUs before devices; nil if there is none.
    static func firstProblem(_ topology: TopologyDescription) -> Problem? {
        var smmus: [String: SMMUDescription] = [:]
        for (index, smmu) in topology.smmus.enumerated() {
            let path = "smmu[\(index)]"
            if let problem = check(smmu, path) { return problem }
            guard smmus.updateValue(smmu, forKey: smmu.name) == nil else {
                return Problem(
                    key: path + ".name", text: "there is another SMMU named “\(smmu.name)”",
                    remedy: "give each its own name")
            }
        }
        var seen = SeenDevices()
        for (index, device) in topology.devices.enumerated() {
            let path = "device[\(index)]"
            guard let smmu = smmus[device.smmu] else {
                let names = topology.smmus.map(\.name).joined(separator: ", ")
                return Problem(
                    key: path + ".smmu", text: "there is no SMMU named “\(device.smmu)”",
                    remedy: names.isEmpty ? "describe it with [[smmu]]" : "write one of \(names)")
            }
            if let problem = check(device, smmu, path) ?? seen.add(device, index) { return problem }
        }
        return nil
    }

    private static func check(_ smmu: SMMUDescription, _ path: String) -> Problem? {
        if !smmu.stage1 && !smmu.stage2 {
            return Problem(
                key: path + ".stage2", text: "an SMMU translates in stage 1, stage 2 or both",
                remedy: "set stage1 or stage2 to true")
        }
        if smmu.virtualAddressBits == 52 && !smmu.granule64K {
            return Problem(
                key: path + ".va_bits", text: "52-bit addresses need the 64 KiB granule",
                remedy: "add \"64K\" to granules, or write 48")
        }
        if smmu.outputAddressBits == 52 && !smmu.granule64K {
            return Problem(
                key: path + ".oas", text: "52-bit addresses need the 64 KiB granule",
                remedy: "add \"64K\" to granules, or write at most 48")
        }
        if smmu.pri && !smmu.ats {
            return Problem(key: path + ".pri", text: "PRI needs ATS", remedy: "set ats to true or pri to false")
        }
        return nil
    }

    private static func check(_ device: DeviceDescription, _ smmu: SMMUDescription, _ path: String) -> Problem? {
        if device.streamIDs.isEmpty {
            return Problem(key: path + ".stream_ids", text: "a device needs a StreamID", remedy: "write at least one")
        }
        let limit = UInt64(1) << smmu.streamIDBits
        if let index = device.streamIDs.firstIndex(where: { UInt64($0) >= limit }) {
            return Problem(
                key: path + ".stream_ids[\(index)]", text: "\(smmu.name) has \(smmu.streamIDBits) StreamID bits",
                remedy: "write a number below \(limit), or raise its sidsize")
        }
        if device.pasidBits > (smmu.stage1 ? smmu.substreamIDBits : 0) {
            return Problem(
                key: path + ".pasid_bits",
                text: "\(smmu.name) has \(smmu.stage1 ? smmu.substreamIDBits : 0) SubstreamID bits",
                remedy: "lower it, or raise the SMMU's ssidsize")
        }
        let features: [(String, Bool, Bool)] = [
            ("stall", device.stall, smmu.stall), ("ats", device.ats, smmu.ats), ("pri", device.pri, smmu.pri),
        ]
        for (key, wanted, offered) in features where wanted && !offered {
            return Problem(
                key: "\(path).\(key)", text: "\(smmu.name) does not have it", remedy: "set \(key) of the SMMU to true")
        }
        if device.pri && !device.ats {
            return Problem(key: path + ".pri", text: "PRI needs ATS", remedy: "set ats of the device to true")
        }
        if device.queues > 0 && device.pasidBits == 0 {
            return Problem(
                key: path + ".queues", text: "the queues of an accelerator need PASIDs", remedy: "set pasid_bits")
        }
        return checkRegions(device, path)
    }

    private static func checkRegions(_ device: DeviceDescription, _ path: String) -> Problem? {
        for (index, region) in device.reserved.enumerated() {
            let key = "\(path).reserved[\(index)]"
            guard region.range.start & 0xfff == 0, region.range.last & 0xfff == 0xfff else {
                return Problem(
                    key: key, text: "the region is not whole pages",
                    remedy: "start at a multiple of 0x1000 and end just below one")
            }
            if let other = device.reserved[..<index].firstIndex(where: { $0.range.overlaps(region.range) }) {
                return Problem(
                    key: key, text: "the region overlaps reserved[\(other)]", remedy: "list each page once")
            }
        }
        return nil
    }
}

/// What earlier devices have taken.
private struct SeenDevices {
    private struct Stream: Hashable {
        var smmu: String
        var id: UInt32
    }

    private var indexOfName: [String: Int] = [:]
    private var ownerOfStream: [Stream: String] = [:]
    private var smmuOfGroup: [String: String] = [:]

    mutating func add(_ device: DeviceDescription, _ index: Int) -> TopologyRules.Problem? {
        let path = "device[\(index)]"
        if let other = indexOfName.updateValue(index, forKey: device.name) {
            return .init(
                key: path + ".name", text: "device[\(other)] is named “\(device.name)” too",
                remedy: "give each its own name")
        }
        for (position, id) in device.streamIDs.enumerated() {
            let stream = Stream(smmu: device.smmu, id: id)
            if let owner = ownerOfStream.updateValue(device.name, forKey: stream) {
                return .init(
                    key: "\(path).stream_ids[\(position)]",
                    text: "StreamID 0x\(String(id, radix: 16)) of \(device.smmu) belongs to “\(owner)” already",
                    remedy: "give each device its own StreamIDs")
            }
        }
        if let group = device.group, let smmu = smmuOfGroup.updateValue(device.smmu, forKey: group),
            smmu != device.smmu
        {
            return .init(
                key: path + ".group", text: "group “\(group)” has devices behind \(smmu)",
                remedy: "a group is behind one SMMU")
        }
        return nil
    }
}
