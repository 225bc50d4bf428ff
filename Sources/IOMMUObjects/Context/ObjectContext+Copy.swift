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
        try checkCopy(from: source, iova: iova, length: length, to: destination, iova: fixed, access)
        let from = try ioas(source)
        let pieces = try pieces(of: from, iova: iova, length: length)
        let to = try ioas(destination)
        guard let start = pieces.first else { return iova }
        let target = try place(pieces, of: from, from: start.offset, length: length, at: fixed, access, in: to)
        var next = target
        do {
            for piece in pieces {
                _ = try enter(
                    to, to.hwpts, try mapped(piece.memory), at: memories.location(of: piece.memory), id: piece.memory,
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

    /// `EOVERFLOW`, `EINVAL` for what cannot be copied anywhere.
    func checkCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        _ access: Access
    ) throws(IOMMUError) {
        guard length < .max, iova < .max, fixed != .max else {
            throw IOMMUError.wrapping(fixed == .max ? .max : iova, length: length).with("ioas", .number(UInt64(source)))
        }
        guard !access.isEmpty else { throw Self.noAccess(destination) }
    }

    /// Where the pieces go, once everything is in order, in iommufd's order: shape, reserved IOVAs, what is mapped
    /// there, the right to write, the offsets.
    func place(
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
        var source = try PieceSource(ioas, iova: iova, length: length)
        var pieces: [Area] = []
        while let piece = try source.next() { pieces.append(piece) }
        return pieces
    }
}

/// What is mapped in a range, cut to it, mapping by mapping.
struct PieceSource {
    let ioas: IOAS
    private let start: UInt64
    private let last: UInt64
    /// Where to go on; nil: at the end.
    private var place: UInt64?

    /// `EINVAL`, `EOVERFLOW`.
    init(_ ioas: IOAS, iova: UInt64, length: UInt64) throws(IOMMUError) {
        guard length > 0 else {
            throw ioas.isEmpty(iova)
        }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else {
            throw ioas.wraps(iova, length)
        }
        (self.ioas, self.start, self.last, place) = (ioas, iova, last, iova)
    }

    /// The next piece, nil at the end; `ENOENT` for a hole.
    mutating func next() throws(IOMMUError) -> Area? {
        guard let start = place else { return nil }
        guard var area = ioas.areas.first(endingAtOrAfter: start)?.area, area.start <= start else {
            throw ioas.refusal(
                .ENOENT, .notMapped, "nothing is mapped at \(hexadecimal(start)) of ioas \(ioas.id)", start,
                last &- start &+ 1,
                hint: "ioas.mappings lists what is mapped")
        }
        area.offset &+= start &- area.start
        area.start = start
        area.last = min(area.last, last)
        place = area.last < last ? area.last &+ 1 : nil
        return area
    }

    /// Begins again.
    mutating func rewind() { place = start }
}
