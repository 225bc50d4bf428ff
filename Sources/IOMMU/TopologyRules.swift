import LinuxIO

/// What makes a topology one that the emulated backend can build: one set of rules, for a configuration file and for
/// devices that are added later.
package enum TopologyRules {
    /// The first mistake in file order, SMMUs before devices, with the path of what it is in; nil if there is none.
    package static func firstProblem(
        _ topology: TopologyDescription
    ) -> (path: String, problem: TopologyProblem)? {
        problems(topology).first
    }

    /// All mistakes, one for each SMMU and device that has any, in the same order.
    package static func problems(
        _ topology: TopologyDescription
    ) -> [(path: String, problem: TopologyProblem)] {
        var index = TopologyIndex()
        let smmus = topology.smmus.enumerated().compactMap { position, smmu in
            index.add(smmu).map { ("smmu[\(position)]", $0) }
        }
        // Devices behind an SMMU that is none would all be called mistakes.
        guard smmus.isEmpty else { return smmus }
        let devices = topology.devices.enumerated().compactMap { position, device in
            index.add(device).map { ("device[\(position)]", $0) }
        }
        return devices
    }

    static func problem(of smmu: SMMUDescription) -> TopologyProblem? {
        if !smmu.stage1 && !smmu.stage2 {
            return TopologyProblem(
                "stage2", .EINVAL, .noTranslationStage, "an SMMU translates in stage 1, stage 2 or both",
                remedy: "set stage1 or stage2 to true")
        }
        if smmu.virtualAddressBits == 52 && !smmu.granule64K {
            return TopologyProblem(
                "va_bits", .EINVAL, .needs64KGranule, "52-bit addresses need the 64 KiB granule",
                remedy: "add \"64K\" to granules, or write 48")
        }
        if smmu.outputAddressBits == 52 && !smmu.granule64K {
            return TopologyProblem(
                "oas", .EINVAL, .needs64KGranule, "52-bit addresses need the 64 KiB granule",
                remedy: "add \"64K\" to granules, or write at most 48")
        }
        if smmu.pri && !smmu.ats {
            return TopologyProblem(
                "pri", .EINVAL, .priWithoutATS, "PRI needs ATS", remedy: "set ats to true or pri to false")
        }
        return nil
    }

    /// What is wrong with a device by itself, behind its SMMU.
    static func problem(of device: DeviceDescription, behind smmu: SMMUDescription) -> TopologyProblem? {
        problemOfNames(device) ?? problemOfStreams(device, smmu) ?? problemOfFeatures(device, smmu)
            ?? problemOfRegions(device)
    }

    private static func problemOfNames(_ device: DeviceDescription) -> TopologyProblem? {
        let names = [("name", device.name), ("group", device.group), ("driver", device.driver)]
        for case (let key, let name?) in names where !TopologyName.isValid(name.utf8) {
            return TopologyProblem(
                key, .EINVAL, .badName, "“\(name)” is not a name", remedy: TopologyName.remedy)
        }
        if let index = device.algorithms.firstIndex(where: { !TopologyName.isValid($0.utf8) }) {
            return TopologyProblem(
                "algorithms[\(index)]", .EINVAL, .badName, "“\(device.algorithms[index])” is not a name",
                remedy: TopologyName.remedy)
        }
        return nil
    }

    private static func problemOfStreams(_ device: DeviceDescription, _ smmu: SMMUDescription) -> TopologyProblem? {
        if device.streamIDs.isEmpty {
            return TopologyProblem(
                "stream_ids", .EINVAL, .noStreamID, "a device needs a StreamID", remedy: "write at least one")
        }
        let limit = UInt64(1) << UInt64(smmu.streamIDBits)
        if let index = device.streamIDs.firstIndex(where: { UInt64($0) >= limit }) {
            return TopologyProblem(
                "stream_ids[\(index)]", .EINVAL, .badStreamID,
                "\(smmu.name) has \(smmu.streamIDBits) StreamID bits",
                remedy: "write a number below \(limit), or raise its sidsize", streamID: device.streamIDs[index])
        }
        var seen: Set<UInt32> = []
        for (index, streamID) in device.streamIDs.enumerated() where !seen.insert(streamID).inserted {
            return .taken(streamID, index, device, by: device.name, errno: .EINVAL, reason: .streamIDTwice)
        }
        return nil
    }

    private static func problemOfFeatures(_ device: DeviceDescription, _ smmu: SMMUDescription) -> TopologyProblem? {
        let substreamIDBits = smmu.stage1 ? smmu.substreamIDBits : 0
        if !(0...substreamIDBits).contains(device.pasidBits) {
            return TopologyProblem(
                "pasid_bits", .EINVAL, .badPASIDBits, "\(smmu.name) has \(substreamIDBits) SubstreamID bits",
                remedy: "lower it, or raise the SMMU's ssidsize")
        }
        let features: [(String, Bool, Bool, Reason)] = [
            ("stall", device.stall, smmu.stall, .noStall), ("ats", device.ats, smmu.ats, .noATS),
            ("pri", device.pri, smmu.pri, .noPRI),
        ]
        for (key, wanted, offered, reason) in features where wanted && !offered {
            return TopologyProblem(
                key, .EINVAL, reason, "\(smmu.name) does not have it", remedy: "set \(key) of the SMMU to true")
        }
        if device.pri && !device.ats {
            return TopologyProblem(
                "pri", .EINVAL, .priWithoutATS, "PRI needs ATS", remedy: "set ats of the device to true")
        }
        if device.queues < 0 {
            return TopologyProblem(
                "queues", .EINVAL, .badQueues, "\(device.queues) queues are fewer than none", remedy: "write 0 for none"
            )
        }
        if device.queues > 0 && device.pasidBits == 0 {
            return TopologyProblem(
                "queues", .EINVAL, .queuesWithoutPASIDs, "the queues of an accelerator need PASIDs",
                remedy: "set pasid_bits")
        }
        return nil
    }

    private static func problemOfRegions(_ device: DeviceDescription) -> TopologyProblem? {
        for (index, region) in device.reserved.enumerated() {
            let key = "reserved[\(index)]"
            guard region.range.start & 0xfff == 0, region.range.last & 0xfff == 0xfff else {
                return TopologyProblem(
                    key, .EINVAL, .regionNotPages, "the region is not whole pages",
                    remedy: "start at a multiple of 0x1000 and end just below one")
            }
            if let other = device.reserved[..<index].firstIndex(where: { $0.range.overlaps(region.range) }) {
                return TopologyProblem(
                    key, .EINVAL, .regionsOverlap, "the region overlaps reserved[\(other)]",
                    remedy: "list each page once")
            }
        }
        return nil
    }
}

/// A mistake in the description of a machine: the key it is at, what is wrong, what to do.
package struct TopologyProblem: Equatable, Sendable {
    /// In the description of the SMMU or device: "pasid_bits", "reserved[1]".
    package let key: String
    package let errno: Errno
    /// For programs.
    package let reason: Reason
    package let text: String
    package let remedy: String
    /// The StreamID at fault.
    package let streamID: UInt32?

    init(
        _ key: String, _ errno: Errno, _ reason: Reason, _ text: String, remedy: String, streamID: UInt32? = nil
    ) {
        self.key = key
        self.errno = errno
        self.reason = reason
        self.text = text
        self.remedy = remedy
        self.streamID = streamID
    }

    static func taken(
        _ streamID: UInt32, _ index: Int, _ device: DeviceDescription, by owner: String, errno: Errno = .EEXIST,
        reason: Reason = .streamIDTaken
    ) -> TopologyProblem {
        TopologyProblem(
            "stream_ids[\(index)]", errno, reason,
            "StreamID \(hexadecimal(UInt64(streamID))) of \(device.smmu) belongs to “\(owner)” already",
            remedy: "give each device its own StreamIDs", streamID: streamID)
    }

    /// The refusal of an SMMU that is to be built.
    package func refusal(of smmu: SMMUDescription) -> IOMMUError {
        IOMMUError(
            errno, reason, "SMMU \(smmu.name) cannot be built: \(key): \(text)", hint: remedy,
            ["smmu": .text(smmu.name), "key": .text(key)])
    }

    /// The refusal of a device that is to be added.
    package func refusal(of device: DeviceDescription) -> IOMMUError {
        let error = IOMMUError(
            errno, reason, "device \(device.name) cannot be added: \(key): \(text)", hint: remedy,
            ["name": .text(device.name), "smmu": .text(device.smmu), "key": .text(key)])
        return streamID.map { error.with("stream_id", .number(UInt64($0))) } ?? error
    }
}
