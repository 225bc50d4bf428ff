import IOMMU

extension EmulatedContext {
    /// At most so many collisions are listed for one region of a device.
    private static let collisionsPerRegion = 16

    package func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation {
        let device = try backend.device(named: name)
        var reasons: [DeviceExplanation.Reason] = []
        if !device.description.coherent, let problem = bindingProblem(of: device) { reasons.append(.init(problem)) }
        if let owner = device.group.owner, owner !== self {
            for sibling in device.group.devices where sibling.boundBy === owner {
                reasons.append(held(sibling, by: owner, asking: device))
            }
        }
        table.forEachIOAS { ioas in
            if !ioas.areas.isEmpty || !ioas.allowed.isEmpty { reasons += collisions(of: device, with: ioas) }
        }
        return DeviceExplanation(viable: reasons.isEmpty, reasons: reasons, group: device.group.id)
    }

    private func held(
        _ sibling: EmulatedDevice, by owner: EmulatedContext, asking device: EmulatedDevice
    ) -> DeviceExplanation.Reason {
        let relation = sibling === device ? "it" : "device \(sibling.name) of the same group \(device.group.id)"
        return DeviceExplanation.Reason(
            reason: "group_owned_elsewhere", text: "\(relation) is bound by \(owner.owner)",
            hint: "a group belongs to one session at a time: unbind it there first",
            members: [.init("device", .text(sibling.name)), .init("session", .text(owner.owner))])
    }

    /// Which mappings and allowed ranges would refuse an attach of the device to this IOAS.
    private func collisions(of device: EmulatedDevice, with ioas: IOAS) -> [DeviceExplanation.Reason] {
        var reasons: [DeviceExplanation.Reason] = []
        let isAttached = device.handle?.attachments[DeviceGroup.ridKey]?.paging.ioas === ioas
        guard !isAttached else { return [] }
        for region in device.reservedRegions {
            var position = ioas.areas.first(endingAtOrAfter: region.range.start)
            var count = 0
            while let current = position, current.start <= region.range.last, count < Self.collisionsPerRegion {
                reasons.append(collision(region, with: current.area, of: ioas))
                count += 1
                position = current.next
            }
            if let allowed = AddressRange.first(
                in: ioas.allowed, meeting: region.range.start, last: region.range.last)
            {
                reasons.append(
                    DeviceExplanation.Reason(
                        reason: "allowed_range_narrowed",
                        text:
                            "an allowed range of ioas \(ioas.id) meets a \(region.kind.rawValue) region of the device",
                        hint: "take the region out of ioas.allow_iovas",
                        members: [region.member, .init("ioas", .number(UInt64(ioas.id))), allowed.member("allowed")]))
            }
        }
        return reasons
    }

    private func collision(_ region: ReservedRegion, with area: Area, of ioas: IOAS) -> DeviceExplanation.Reason {
        DeviceExplanation.Reason(
            reason: "mapping_in_reserved_region",
            text:
                "ioas \(ioas.id) has a mapping at 0x\(String(area.start, radix: 16)), "
                + "in a \(region.kind.rawValue) region of the device",
            hint: "unmap it and map that memory elsewhere, or attach to another IOAS",
            members: [
                region.member,
                .init(
                    "mapping",
                    .object([
                        .init("ioas", .number(UInt64(ioas.id))), .init("iova", .hex(area.start)),
                        .init("length", .hex(area.length)),
                    ])),
            ])
    }
}

extension DeviceExplanation.Reason {
    init(_ error: IOMMUError) {
        self.init(reason: error.reason, text: error.message, hint: error.hint, members: error.members)
    }
}

extension ReservedRegion {
    var member: IOMMUError.Member {
        .init(
            "region",
            .object([
                .init("start", .hex(range.start)), .init("last", .hex(range.last)), .init("type", .text(kind.rawValue)),
            ]))
    }
}

extension AddressRange {
    func member(_ key: String) -> IOMMUError.Member {
        .init(key, .object([.init("start", .hex(start)), .init("last", .hex(last))]))
    }
}
