import IOMMU

/// A map from IOVA to memory, and the hardware tables that follow it.
package final class IOAS: SessionObject {
    /// The smallest page of a mapping where large ones are off, and of every hwpt of this backend or less.
    static let pageSize: UInt64 = 4096

    let areas = AreaMap()
    private(set) var hwpts = ContiguousArray<PagingHWPT>()
    /// What is known of all of them together.
    private var followers = Followers()
    /// In all mappings together.
    private(set) var mappedBytes: UInt64 = 0
    /// Bits that start, length or offset of a mapping have had since there was none.
    private(set) var mappedBits: UInt64 = 0
    var usesHugePages = true
    /// What every IOVA, length and offset is a multiple of (bytes); see ``requiredAlignment(with:)``.
    private(set) var alignment: UInt64 = 1
    private var reservations: [Reservation] = []
    /// Sorted; empty: everything. They steer only the choice of IOVAs.
    private(set) var allowed: [AddressRange] = []
    /// What no reservation takes, sorted.
    private(set) var usable: [AddressRange] {
        didSet { recentlyUsable = Self.nothing }
    }
    /// The one of them that the last mapping was in.
    var recentlyUsable = IOAS.nothing
    private static let nothing: (start: UInt64, last: UInt64) = (.max, 0)
    /// Where automatic IOVAs come from: `usable` within `allowed` and ``choosable``.
    private(set) var allocatable: [AddressRange]
    var hint = AllocationHint()

    init() {
        usable = [.everything]
        allocatable = Self.choosable.map { [$0] } ?? []
        super.init(.ioas)
    }

    /// The hwpts that follow it.
    package override var users: Int { hwpts.count }

    override var state: [IOMMUError.Member] {
        [
            .init("mappings", .number(UInt64(areas.count))),
            .init("huge_pages", .flag(usesHugePages)),
            .init("alignment", .hex(alignment)),
        ]
    }

    // MARK: Hwpts

    /// The largest over the hwpts of each one's smallest page; without any, 1, or a page where large ones are off.
    func requiredAlignment(with another: (any TranslationDomain)? = nil) -> UInt64 {
        let alignment = max(usesHugePages ? 1 : Self.pageSize, followers.largestSmallestPage)
        return max(alignment, another?.smallestPage ?? 1)
    }

    func updateAlignment() { alignment = requiredAlignment() }

    func link(_ hwpt: PagingHWPT) {
        hwpt.place = hwpts.count
        hwpts.append(hwpt)
        if let aperture = followers.add(hwpt) { add(Reservation.outside(aperture.range, owner: aperture)) }
        updateAlignment()
    }

    /// The last of them takes its place: their order means nothing.
    func unlink(_ hwpt: PagingHWPT) {
        guard hwpt.place < hwpts.count, hwpts[hwpt.place] === hwpt, let last = hwpts.popLast() else { return }
        if last !== hwpt {
            last.place = hwpt.place
            hwpts[last.place] = last
        }
        if let aperture = followers.remove(hwpt) { removeReservations(of: aperture) }
        updateAlignment()
    }

    /// The one that attaches make and use, for devices of this driver.
    func automaticHWPT(of driver: any TranslationDriver) -> PagingHWPT? { followers.automatic(of: driver) }

    /// `EADDRINUSE` if a mapping is not a multiple of `alignment`.
    func checkMappings(areMultiplesOf alignment: UInt64) throws(IOMMUError) {
        if let area = firstMapping(notMultipleOf: alignment) { throw misaligned(area, alignment) }
    }

    func misaligned(_ area: Area, _ alignment: UInt64) -> IOMMUError {
        IOMMUError(
            .EADDRINUSE, .mappingMisaligned,
            "the mapping of \(span(area.length, at: area.start)) is no multiple of the \(hexadecimal(alignment)) bytes "
                + "that the hardware maps",
            hint: "unmap it and map it again on page boundaries",
            [
                "ioas": .number(UInt64(id)), "iova": .hex(area.start), "length": .hex(area.length),
                "alignment": .hex(alignment),
            ])
    }

    @inline(__always)
    func noteMapped(_ area: Area) {
        mappedBits |= area.start | area.length | area.offset
        mappedBytes &+= area.length
    }

    @inline(__always)
    func noteUnmapped(_ area: Area) { mappedBytes &-= area.length }

    func removeAllMappings() {
        areas.removeAll()
        mappedBits = 0
        mappedBytes = 0
        hint = AllocationHint()
    }

    /// Whether one has been seen since there was no mapping.
    func mayHaveMapping(notMultipleOf alignment: UInt64) -> Bool {
        alignment > self.alignment && mappedBits & (alignment - 1) != 0
    }

    func firstMapping(notMultipleOf alignment: UInt64) -> Area? {
        guard mayHaveMapping(notMultipleOf: alignment) else { return nil }
        var position = areas.first(endingAtOrAfter: 0)
        while let current = position {
            let area = current.area
            guard area.isMultiple(of: alignment) else { return area }
            position = current.next
        }
        return nil
    }

    // MARK: Reservations

    /// `EADDRINUSE` if a mapping, or an allowed range, lies in one of them; nothing changes.
    func check(_ new: [Reservation]) throws(IOMMUError) {
        for reservation in new {
            let range = reservation.range
            if let area = areas.firstOverlap(start: range.start, last: range.last) {
                throw reservation.collision(
                    "the mapping of ioas \(id) at \(hexadecimal(area.start))", .mappingInReservedRegion,
                    hint: "unmap it and map that memory elsewhere; ioas.check tells all such places at once"
                ).with("ioas", .number(UInt64(id))).with("iova", .hex(area.start)).with("length", .hex(area.length))
            }
            if let range = AddressRange.first(in: allowed, meeting: range.start, last: range.last) {
                throw reservation.collision(
                    "the allowed range of ioas \(id) from \(hexadecimal(range.start))",
                    .allowedRangeNarrowed,
                    hint: "take the region out of ioas.allow_iovas"
                ).with("ioas", .number(UInt64(id))).with("start", .hex(range.start)).with("last", .hex(range.last))
            }
        }
    }

    func add(_ new: [Reservation]) {
        guard !new.isEmpty else { return }
        reservations.append(contentsOf: new)
        changed()
    }

    func removeReservations(of owner: AnyObject) {
        reservations.removeAll { $0.owner === owner }
        changed()
    }

    func reservation(overlapping range: AddressRange) -> Reservation? {
        reservations.first { $0.range.overlaps(range) }
    }

    // MARK: Allowed ranges

    /// `EINVAL` for a range of one byte or less or an overlap, `EADDRINUSE` if one meets a reservation.
    func allow(_ ranges: [AddressRange]) throws(IOMMUError) {
        let sorted = ranges.sorted { $0.start < $1.start }
        for (index, range) in sorted.enumerated() {
            guard range.start < range.last, index == 0 || sorted[index - 1].last < range.start else {
                throw IOMMUError(
                    .EINVAL, .badAllowedRanges,
                    "the range \(hexadecimal(range.start)) to \(hexadecimal(range.last)) has one byte, or overlaps",
                    hint: "allow ranges of more than one byte that do not overlap each other",
                    ["ioas": .number(UInt64(id)), "start": .hex(range.start), "last": .hex(range.last)])
            }
        }
        for range in sorted {
            if let reservation = reservation(overlapping: range) {
                throw reservation.collision(
                    "the range from \(hexadecimal(range.start))", .allowedRangeReserved,
                    hint: "ioas.iova_ranges lists what is usable"
                ).with("ioas", .number(UInt64(id))).with("start", .hex(range.start)).with("last", .hex(range.last))
            }
        }
        allowed = sorted
        changed()
    }

    private func changed() {
        usable = AddressRange.complement(of: reservations.map(\.range))
        allocatable = AddressRange.intersection(usable, Self.choosable.map { [$0] } ?? [])
        if !allowed.isEmpty { allocatable = AddressRange.intersection(allocatable, AddressRange.joined(allowed)) }
        hint = AllocationHint()
    }
}

/// IOVAs that an IOAS may not use while somebody is attached to it.
struct Reservation {
    enum Cause {
        /// Beyond what an hwpt can translate.
        case aperture
        case region(ReservedRegion.Kind, device: String)
    }

    let range: AddressRange
    let owner: AnyObject
    let cause: Cause

    /// That `what` collides with this reservation.
    func collision(_ what: String, _ reason: Reason, hint: String) -> IOMMUError {
        let place = "\(what) lies in \(hexadecimal(range.start)) to \(hexadecimal(range.last))"
        switch cause {
        case .aperture:
            return IOMMUError(
                .EADDRINUSE, reason, "\(place), which the hardware table cannot translate",
                hint: hint, ["region_start": .hex(range.start), "region_last": .hex(range.last)])
        case .region(let kind, let device):
            return IOMMUError(
                .EADDRINUSE, reason, "\(place), which is \(kind.rawValue) for device \(device)",
                hint: hint,
                [
                    "region_start": .hex(range.start), "region_last": .hex(range.last),
                    "region_type": .text(kind.rawValue), "region_device": .text(device),
                ])
        }
    }

    /// Everything but the aperture.
    static func outside(_ aperture: AddressRange, owner: AnyObject) -> [Reservation] {
        AddressRange.complement(of: [aperture]).map { Reservation(range: $0, owner: owner, cause: .aperture) }
    }

    /// What the device cannot use.
    static func regions(of device: Device, owner: AnyObject) -> [Reservation] {
        device.unusableRegions.map {
            Reservation(range: $0.range, owner: owner, cause: .region($0.kind, device: device.name))
        }
    }
}
