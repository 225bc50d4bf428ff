import IOMMU
import LinuxIO

extension IOAS {
    /// `EINVAL`, `EOVERFLOW`: whether a range of that shape can be mapped at all. The offset's alignment comes after
    /// what is there already: see ``checkOffset(_:iova:length:)``.
    @inline(__always)
    func checkShape(iova: UInt64, length: UInt64) throws(IOMMUError) {
        guard length > 0, (iova | length) & (alignment - 1) == 0, !iova.addingReportingOverflow(length - 1).overflow
        else { throw badShape(iova, length) }
    }

    private func badShape(_ iova: UInt64, _ length: UInt64) -> IOMMUError {
        if length == 0 { return isEmpty(iova) }
        return (iova | length) & (alignment - 1) == 0 ? wraps(iova, length) : misaligned(iova, length)
    }

    func isEmpty(_ iova: UInt64) -> IOMMUError {
        refusal(
            .EINVAL, .zeroLength, "the range at \(hexadecimal(iova)) has no bytes", iova, 0,
            hint: "give a length of at least one byte")
    }

    func wraps(_ iova: UInt64, _ length: UInt64) -> IOMMUError {
        IOMMUError.wrapping(iova, length: length).with("ioas", .number(UInt64(id)))
    }

    private func misaligned(_ iova: UInt64, _ length: UInt64) -> IOMMUError {
        refusal(
            .EINVAL, .misaligned, "\(span(length, at: iova)) are no whole pages of \(hexadecimal(alignment)) bytes",
            iova, length, hint: "make iova, length and offset multiples of it; ioas.iova_ranges tells the alignment"
        ).with("alignment", .hex(alignment))
    }

    /// `EINVAL` for an offset in the memory object that is not aligned; but `EEXIST` where the range is taken.
    @inline(__always)
    func checkOffset(_ offset: UInt64, iova: UInt64, length: UInt64) throws(IOMMUError) {
        guard offset & (alignment - 1) != 0 else { return }
        try checkFree(iova: iova, length: length)
        throw misaligned(iova, length).with("offset", .hex(offset))
    }

    /// `EEXIST` where something is mapped.
    func checkFree(iova: UInt64, length: UInt64) throws(IOMMUError) {
        if let other = areas.firstOverlap(start: iova, last: iova &+ (length &- 1)) {
            throw alreadyMapped(other, iova, length)
        }
    }

    /// `EINVAL` for IOVAs that nobody may use; the range does not wrap.
    @inline(__always)
    func checkUsable(iova: UInt64, length: UInt64) throws(IOMMUError) {
        let last = iova &+ (length &- 1)
        if iova >= recentlyUsable.start, last <= recentlyUsable.last { return }
        if let range = AddressRange.range(of: iova, in: usable), last <= range.last {
            recentlyUsable = (range.start, range.last)
            return
        }
        throw unusable(iova: iova, last: last)
    }

    private func unusable(iova: UInt64, last: UInt64) -> IOMMUError {
        let error = refusal(
            .EINVAL, .iovaReserved, "\(span(last &- iova &+ 1, at: iova)) meet IOVAs that cannot be mapped", iova,
            last &- iova &+ 1, hint: "ioas.iova_ranges lists what is usable")
        guard let range = AddressRange(start: iova, last: last), let reservation = reservation(overlapping: range)
        else {
            return error
        }
        let region = reservation.range
        let named = error.with("region_start", .hex(region.start)).with("region_last", .hex(region.last))
        switch reservation.cause {
        case .aperture: return named.with("region_type", .text("outside_aperture"))
        case .region(let kind, let device):
            return named.with("region_type", .text(kind.rawValue)).with("region_device", .text(device))
        }
    }

    func refusal(
        _ errno: Errno, _ reason: Reason, _ message: String, _ iova: UInt64, _ length: UInt64, hint: String
    ) -> IOMMUError {
        IOMMUError(
            errno, reason, message, hint: hint,
            ["ioas": .number(UInt64(id)), "iova": .hex(iova), "length": .hex(length)])
    }

    // MARK: Map

    /// Enters a range whose shape has been checked, in the map and in every hwpt of this IOAS.
    ///
    /// - Throws: `EEXIST`, or what an hwpt says; then nothing has changed.
    @inline(__always)
    func insert(
        _ area: Area, physical: UInt64, _ hwpts: ContiguousArray<PagingHWPT>
    ) throws(IOMMUError) {
        if let other = areas.insert(area) { throw alreadyMapped(other, area.start, area.length) }
        noteMapped(area)
        var index = 0
        do {
            while index < hwpts.count {
                try hwpts[index].map(area, physical: physical, hugePages: usesHugePages)
                index += 1
            }
        } catch {
            _ = areas.remove(start: area.start)
            noteUnmapped(area)
            for undone in 0..<index {
                hwpts[undone].domain.unmap(iova: area.start, length: area.length)
                hwpts[undone].domain.flush()
            }
            throw error.with("ioas", .number(UInt64(id))).with("iova", .hex(area.start))
        }
    }

    private func alreadyMapped(_ other: Area, _ iova: UInt64, _ length: UInt64) -> IOMMUError {
        refusal(
            .EEXIST, .alreadyMapped,
            "\(span(length, at: iova)) overlap the mapping of \(span(other.length, at: other.start))", iova, length,
            hint: "unmap that first"
        ).with("mapping_iova", .hex(other.start)).with("mapping_length", .hex(other.length))
    }

    // MARK: Unmap

    /// What an unmap of start...last takes: whole mappings only.
    ///
    /// - Returns: the first of them.
    /// - Throws: `ENOENT` if nothing is there or a mapping would be cut; nothing changes.
    @inline(__always)
    func extent(start: UInt64, last: UInt64) throws(IOMMUError) -> AreaMap.Position {
        guard let first = areas.first(endingAtOrAfter: start), first.start <= last else {
            throw refusal(
                .ENOENT, .notMapped, "nothing is mapped in \(span(last &- start &+ 1, at: start))", start,
                last &- start &+ 1, hint: "ioas.mappings lists what is mapped")
        }
        guard first.start >= start else { throw cut(first.area, start, last) }
        // Areas do not overlap: none between the first and the one at the end can be cut.
        if first.last != last, let end = areas.first(endingAtOrAfter: last), end.start <= last, end.last > last {
            throw cut(end.area, start, last)
        }
        return first
    }

    private func cut(_ area: Area, _ start: UInt64, _ last: UInt64) -> IOMMUError {
        refusal(
            .ENOENT, .wouldSplitMapping,
            "\(span(last &- start &+ 1, at: start)) cut the mapping of \(span(area.length, at: area.start))",
            start, last &- start &+ 1, hint: "unmap whole mappings"
        ).with("mapping_iova", .hex(area.start)).with("mapping_length", .hex(area.length))
    }

    /// Takes one area out of every hwpt, and out of the map; ``flush()`` has to follow before it is forgotten.
    @inline(__always)
    func remove(_ area: Area) {
        _ = areas.remove(start: area.start)
        noteUnmapped(area)
        for hwpt in hwpts { hwpt.domain.unmap(iova: area.start, length: area.length) }
        hint.freed(from: area.start)
    }

    @inline(__always)
    func flush() {
        for hwpt in hwpts { hwpt.domain.flush() }
    }
}
