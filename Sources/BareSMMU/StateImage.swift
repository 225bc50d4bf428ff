import IOMMU
import SMMUv3

/// The state of a bare SMMU as it lies in memory: little-endian words of 64 bits.
///
/// Five words come first: what it is, its version, how many words follow, their checksum, and that of these four.
enum StateImage {
    /// "iommud", then "vs"
    private static let magic: UInt64 = 0x7376_6475_6d6d_6f69
    private static let version: UInt64 = 2
    private static let headerWords = 5
    /// Bytes before it can be known how many there are.
    static let headerBytes = UInt64(headerWords * 8)
    /// Far beyond the largest state, of 65,535 stalled transactions.
    private static let longest: UInt64 = 1 << 20

    static func encode(_ words: [UInt64]) -> [UInt8] {
        let header = [magic, version, UInt64(words.count), checksum(words)]
        return (header + [checksum(header)] + words).flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
        }
    }

    /// How long the whole is, from its first words. - Throws: `EINVAL` for what is no state, or of another version.
    static func length(_ header: [UInt8]) throws(IOMMUError) -> UInt64 {
        let words = words(header)
        guard words.count == headerWords, words[0] == magic else { throw corrupt("it does not begin as one") }
        guard words[1] == version else {
            throw IOMMUError(
                .EINVAL, .stateVersion, "the state is of version \(words[1]), and this daemon knows \(version)",
                hint: "save it with a daemon of this version", ["version": .number(words[1])])
        }
        guard words[4] == checksum(Array(words.prefix(4))), words[2] <= longest else {
            throw corrupt("the checksum of its first words is another one")
        }
        return headerBytes + words[2] * 8
    }

    /// The words behind the header. - Throws: `EINVAL` for what has changed since it was saved.
    static func decode(_ bytes: [UInt8]) throws(IOMMUError) -> [UInt64] {
        guard UInt64(bytes.count) >= headerBytes else { throw corrupt("it does not begin as one") }
        let length = try length(Array(bytes.prefix(Int(headerBytes))))
        let words = words(bytes)
        let body = Array(words.dropFirst(headerWords))
        guard UInt64(bytes.count) == length, checksum(body) == words[3] else {
            throw corrupt("its checksum is another one")
        }
        return body
    }

    static func corrupt(_ how: String) -> IOMMUError {
        IOMMUError(
            .EINVAL, .stateCorrupt, "there is no state of a bare SMMU: \(how)",
            hint: "give the memory object and offset that vsmmu.save was called with")
    }

    private static func words(_ bytes: [UInt8]) -> [UInt64] {
        stride(from: 0, to: bytes.count - 7, by: 8).map { start in
            bytes[start..<start + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// FNV-1a over words, which shows any change of a few bits.
    private static func checksum(_ words: [UInt64]) -> UInt64 {
        words.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x0000_0100_0000_01b3 ^ ($0 >> 29) }
    }
}
