import IOMMU

/// `IOMMU_IOAS_COPY`
extension ObjectContext {
    /// Maps what is mapped there already, by the order of refusals that Linux has.
    ///
    /// - Throws: `EOVERFLOW`, `EINVAL`; `ENOENT` for unknown objects and holes, `EEXIST`, `EPERM` where memory that was
    ///   mapped for reading would be written, `ENOSPC`, `EDQUOT`, `ENOMEM`. Then nothing has changed.
    package func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64 {
        guard length < .max, iova < .max, fixed != .max else {
            throw IOMMUError.wrapping(fixed == .max ? .max : iova, length: length).with("ioas", .number(UInt64(source)))
        }
        guard !access.isEmpty else { throw Self.noAccess(destination) }
        let from = try ioas(source)
        let pieces = try pieces(of: from, iova: iova, length: length)
        let to = try ioas(destination)
        guard let start = pieces.first else { return iova }
        let target = try place(pieces, of: from, from: start.offset, length: length, at: fixed, access, in: to)
        var next = target
        do {
            for piece in pieces {
                _ = try enter(
                    to, to.hwpts, try memory(piece.memory), at: memories.location(of: piece.memory), id: piece.memory,
                    offset: piece.offset, length: piece.length, fixed: next, access: access,
                    isSourceWritable: piece.isSourceWritable, isCharged: false)
                next &+= piece.length
            }
        } catch {
            var undone = target
            for piece in pieces {
                guard undone < next else { break }
                remove(at: undone, from: to)
                undone &+= piece.length
            }
            to.flush()
            throw error
        }
        return target
    }

    /// Where the pieces go, once everything is in order, in iommufd's order: shape, reserved IOVAs, what is mapped
    /// there, the right to write, the offsets.
    private func place(
        _ pieces: [Area], of source: IOAS, from offset: UInt64, length: UInt64, at fixed: UInt64?, _ access: Access,
        in ioas: IOAS
    ) throws(IOMMUError) -> UInt64 {
        try ioas.checkShape(iova: fixed ?? 0, length: length)
        for piece in pieces { try ioas.checkShape(iova: 0, length: piece.length) }
        let target: UInt64
        if let fixed {
            try ioas.checkUsable(iova: fixed, length: length)
            try ioas.checkFree(iova: fixed, length: length)
            target = fixed
        } else {
            target = try ioas.allocate(length: length, offset: offset)
        }
        if access.allowsWriting, let piece = pieces.first(where: { !$0.isSourceWritable }) {
            throw source.refusal(
                .EPERM, .copyAddsWrite,
                "\(span(piece.length, at: piece.start)) of ioas \(source.id) are mapped for reading only",
                piece.start, piece.length, hint: "copy with access read")
        }
        for piece in pieces { try ioas.checkOffset(piece.offset, iova: target, length: length) }
        return target
    }

    /// What is mapped there, cut to the range: `ENOENT` for a hole.
    private func pieces(of ioas: IOAS, iova: UInt64, length: UInt64) throws(IOMMUError) -> [Area] {
        guard length > 0 else {
            throw ioas.isEmpty(iova)
        }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else {
            throw ioas.wraps(iova, length)
        }
        var pieces: [Area] = []
        var next = iova
        var position = ioas.areas.first(endingAtOrAfter: iova)
        while true {
            guard let here = position, here.start <= next else {
                throw ioas.refusal(
                    .ENOENT, .notMapped, "nothing is mapped at \(hexadecimal(next)) of ioas \(ioas.id)", next,
                    last &- next &+ 1,
                    hint: "ioas.mappings lists what is mapped")
            }
            var area = here.area
            area.offset &+= next &- area.start
            area.start = next
            area.last = min(area.last, last)
            pieces.append(area)
            guard area.last < last else { return pieces }
            next = area.last &+ 1
            position = here.next
        }
    }
}
