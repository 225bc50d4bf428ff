import IOMMU

extension ObjectContext {
    /// Why the device can or cannot be bound and attached, sibling by sibling. `ENODEV` for an unknown name.
    package func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation {
        let device = try registry.device(named: name)
        var reasons: [DeviceExplanation.Obstacle] = []
        if !device.description.coherent { reasons.append(.init(incoherence(of: device))) }
        reasons += directRegionProblems(of: device).map { .init($0) }
        if let owner = device.group.owner, owner !== self {
            for sibling in device.group.devices where sibling.boundBy === owner {
                reasons.append(held(sibling, by: owner, asking: device))
            }
        }
        reasons += collisions(of: device)
        return DeviceExplanation(viable: reasons.isEmpty, reasons: reasons, group: device.group.id)
    }

    /// More are not listed.
    private static let mostCollisions = 256

    /// What the session maps where the device cannot have it. Whoever asks again and again while nothing changes does
    /// not have all of it looked at each time.
    private func collisions(of device: Device) -> [DeviceExplanation.Obstacle] {
        let attached = device.handle?.attachments[DeviceGroup.ridKey]?.paging.ioas.id
        if let known = device.collisions, known.context == id, known.generation == layoutGeneration,
            known.attached == attached
        {
            return known.obstacles
        }
        let needs = Needs(of: device)
        var obstacles: [DeviceExplanation.Obstacle] = []
        table.forEachIOAS { ioas in
            guard obstacles.count < Self.mostCollisions, !ioas.areas.isEmpty || !ioas.allowed.isEmpty else { return }
            obstacles += needs.collisions(with: ioas).prefix(Self.mostCollisions - obstacles.count)
        }
        device.collisions = Device.Collisions(
            context: id, generation: layoutGeneration, attached: attached, obstacles: obstacles)
        return obstacles
    }

    private func held(
        _ sibling: Device, by owner: ObjectContext, asking device: Device
    ) -> DeviceExplanation.Obstacle {
        let holder = owner.holder.text(for: account)
        let relation = sibling === device ? "it" : "device \(sibling.name) of the same group \(device.group.id)"
        return DeviceExplanation.Obstacle(
            reason: .groupOwnedElsewhere, text: "\(relation) is bound by \(holder)",
            hint: "a group belongs to one session at a time: unbind it there first",
            members: [.init("device", .text(sibling.name)), .init("session", .text(holder))])
    }
}

/// What a device that attaches to an IOAS asks of its mappings and allowed ranges.
private struct Needs {
    /// At most so many collisions are listed for one region of a device.
    private static let collisionsPerRegion = 16

    private let device: Device
    private let granule: UInt64
    private let reservations: [Reservation]

    init(of device: Device) {
        self.device = device
        let format = device.driver.automaticFormat
        granule = format.granule
        reservations =
            Reservation.regions(of: device, owner: device) + Reservation.outside(format.aperture, owner: device)
    }

    /// Which mappings and allowed ranges would refuse an attach of the device to this IOAS.
    func collisions(with ioas: IOAS) -> [DeviceExplanation.Obstacle] {
        let isAttached = device.handle?.attachments[DeviceGroup.ridKey]?.paging.ioas === ioas
        guard !isAttached else { return [] }
        var reasons: [DeviceExplanation.Obstacle] = []
        if let area = ioas.firstMapping(notMultipleOf: granule) { reasons.append(misaligned(area, of: ioas)) }
        for reservation in reservations { reasons += collisions(of: reservation, with: ioas) }
        return reasons
    }

    private func collisions(of reservation: Reservation, with ioas: IOAS) -> [DeviceExplanation.Obstacle] {
        var reasons: [DeviceExplanation.Obstacle] = []
        let range = reservation.range
        var position = ioas.areas.first(endingAtOrAfter: range.start)
        while let current = position, current.start <= range.last, reasons.count < Self.collisionsPerRegion {
            let place = "ioas \(ioas.id) has a mapping at 0x\(String(current.start, radix: 16))"
            reasons.append(
                DeviceExplanation.Obstacle(
                    reason: .mappingInReservedRegion, text: "\(place), in \(reservation.what)",
                    hint: "unmap it and map that memory elsewhere, or attach to another IOAS",
                    members: [reservation.member, current.area.member(of: ioas)]))
            position = current.next
        }
        if let allowed = AddressRange.first(in: ioas.allowed, meeting: range.start, last: range.last) {
            reasons.append(
                DeviceExplanation.Obstacle(
                    reason: .allowedRangeNarrowed,
                    text: "an allowed range of ioas \(ioas.id) meets \(reservation.what)",
                    hint: "take the region out of ioas.allow_iovas",
                    members: [
                        reservation.member, .init("ioas", .number(UInt64(ioas.id))), allowed.member("allowed"),
                    ]))
        }
        return reasons
    }

    private func misaligned(_ area: Area, of ioas: IOAS) -> DeviceExplanation.Obstacle {
        DeviceExplanation.Obstacle(
            reason: .mappingMisaligned,
            text: "a mapping of ioas \(ioas.id) is not a multiple of the \(granule) bytes that the hardware maps",
            hint: "unmap it and map it again on page boundaries, or attach to another IOAS",
            members: [area.member(of: ioas), .init("alignment", .hex(granule))])
    }
}

extension Area {
    fileprivate func member(of ioas: IOAS) -> IOMMUError.Member {
        .init(
            "mapping",
            .object([
                .init("ioas", .number(UInt64(ioas.id))), .init("iova", .hex(start)), .init("length", .hex(length)),
            ]))
    }
}

extension Reservation {
    fileprivate var what: String {
        switch cause {
        case .aperture: "addresses that the hardware table of the device cannot translate"
        case .region(let kind, _): "a \(kind.rawValue) region of the device"
        }
    }

    fileprivate var member: IOMMUError.Member {
        let type: String
        switch cause {
        case .aperture: type = "outside_aperture"
        case .region(let kind, _): type = kind.rawValue
        }
        return .init(
            "region",
            .object([.init("start", .hex(range.start)), .init("last", .hex(range.last)), .init("type", .text(type))]))
    }
}

extension AddressRange {
    func member(_ key: String) -> IOMMUError.Member {
        .init(key, .object([.init("start", .hex(start)), .init("last", .hex(last))]))
    }
}
