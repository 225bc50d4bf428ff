import IOMMU
import LinuxIO

/// What a question for dirty pages has to be, whoever has the tables.
extension DirtyRequest {
    /// What the rules need to know of the hwpt that is asked.
    package struct Target {
        let hwpt: ObjectID
        let ioas: ObjectID
        let alignment: UInt64
        let areas: AreaMap

        /// - Parameters:
        ///   - alignment: of the IOAS, in bytes: a power of two.
        ///   - areas: what the IOAS maps.
        package init(hwpt: ObjectID, ioas: ObjectID, alignment: UInt64, areas: AreaMap) {
            (self.hwpt, self.ioas, self.alignment, self.areas) = (hwpt, ioas, alignment, areas)
        }
    }

    /// Bytes of the bitmap that answers it.
    ///
    /// - Parameter transfer: most bytes that a call moves.
    /// - Throws: `EINVAL` for a page size that is no power of two, misalignment and holes; `EOVERFLOW`; `EMSGSIZE`.
    package func bitmapBytes(of target: Target, atMost transfer: UInt64) throws(IOMMUError) -> UInt64 {
        try checkShape(target)
        guard let range = AddressRange(start: iova, length: length) else {
            throw IOMMUError.wrapping(iova, length: length).with("ioas", .number(UInt64(target.ioas)))
                .with("hwpt", .number(UInt64(target.hwpt)))
        }
        let bytes = (length / pageSize - 1) / 8 + 1
        guard bytes <= transfer else {
            throw refusal(
                target, .EMSGSIZE, .transferTooLarge,
                "the bitmap of \(span(length, at: iova)) is longer than \(hexadecimal(transfer)) bytes",
                hint: "ask for a smaller range, or for larger pages")
        }
        guard target.areas.isMapped(range) else {
            throw refusal(
                target, .EINVAL, .notMapped, "a part of \(span(length, at: iova)) is not mapped",
                hint: "ask for each mapping by itself; ioas.mappings lists them")
        }
        return bytes
    }

    private func checkShape(_ target: Target) throws(IOMMUError) {
        let place = span(length, at: iova)
        guard pageSize.nonzeroBitCount == 1 else {
            throw refusal(
                target, .EINVAL, .badPageSize, "page_size \(hexadecimal(pageSize)) is not a power of two",
                hint: "give that of a page, such as 0x1000")
        }
        guard length > 0, (iova | length) & (pageSize - 1) == 0 else {
            throw refusal(
                target, .EINVAL, .misaligned, "\(place) are no whole pages of \(hexadecimal(pageSize)) bytes",
                hint: "make iova and length multiples of page_size, and length not 0")
        }
        guard (iova | length) & (target.alignment - 1) == 0 else {
            throw refusal(
                target, .EINVAL, .misaligned, "\(place) are no multiples of \(hexadecimal(target.alignment)) bytes",
                hint: "make iova and length such; page_size may be smaller; ioas.iova_ranges tells the alignment"
            ).with("alignment", .hex(target.alignment))
        }
    }

    private func refusal(
        _ target: Target, _ errno: Errno, _ reason: Reason, _ message: String, hint: String
    ) -> IOMMUError {
        IOMMUError(
            errno, reason, message, hint: hint,
            [
                "ioas": .number(UInt64(target.ioas)), "iova": .hex(iova), "length": .hex(length),
                "hwpt": .number(UInt64(target.hwpt)), "page_size": .hex(pageSize),
            ])
    }
}
