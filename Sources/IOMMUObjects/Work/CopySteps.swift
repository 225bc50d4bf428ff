import IOMMU

/// `IOMMU_IOAS_COPY` of much, mapping by mapping, with the refusals in the order of
/// ``ObjectContext/copy(from:iova:length:to:iova:access:)``.
final class CopySteps {
    private let context: ObjectContext
    private let destination: IOAS
    private let length: UInt64
    private let fixed: UInt64?
    private let access: Access
    private var source: PieceSource
    /// Of the source: the offset of the first piece, and the first pieces that are not in order.
    private var offset: UInt64?
    private var unshaped: Area?
    private var readOnly: Area?
    private var unaligned: Area?
    /// Where the next piece goes; nil: the source is still being looked at.
    private var next: UInt64?

    init(
        _ context: ObjectContext, _ source: PieceSource, length: UInt64, to destination: IOAS, at fixed: UInt64?,
        _ access: Access
    ) {
        (self.context, self.source, self.length) = (context, source, length)
        (self.destination, self.fixed, self.access) = (destination, fixed, access)
    }

    func step() throws(IOMMUError) -> MapStep {
        guard let next else { return try look() }
        guard let piece = try source.next() else { return .end }
        let start = try context.enter(
            destination, [], try context.mapped(piece.memory), at: context.memories.location(of: piece.memory),
            id: piece.memory, offset: piece.offset, length: piece.length, fixed: next, access: access,
            isSourceWritable: piece.isSourceWritable, isCharged: false)
        self.next = next &+ piece.length
        return .entered(start, last: start &+ (piece.length &- 1))
    }

    /// Whether the next piece of the source is there and in order; after the last, where they all go.
    private func look() throws(IOMMUError) -> MapStep {
        let alignment = destination.alignment
        if let piece = try source.next() {
            if offset == nil { offset = piece.offset }
            if unshaped == nil, piece.length & (alignment &- 1) != 0 { unshaped = piece }
            if readOnly == nil, access.allowsWriting, !piece.isSourceWritable { readOnly = piece }
            if unaligned == nil, piece.offset & (alignment &- 1) != 0 { unaligned = piece }
            return .looked
        }
        let suspects = [unshaped, readOnly, unaligned].compactMap(\.self)
        next = try context.place(
            suspects, of: source.ioas, from: offset ?? 0, length: length, at: fixed, access, in: destination)
        source.rewind()
        return .looked
    }
}
