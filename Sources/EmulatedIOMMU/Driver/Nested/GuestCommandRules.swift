import SMMUv3

/// Which invalidation commands are a guest's, and which of their bits it may set (IHI 0070 chapter 4).
///
/// A command that the SMMU would refuse, or is permitted to refuse, for its encoding stops the queue that all devices
/// share, so that none gets there. Values that are merely out of range do no harm beyond the guest (4.1.7).
struct GuestCommandRules {
    /// What takes the guest's place in a command.
    enum Owner {
        case vmid
        /// The whole of the VMID: the command names none.
        case everything
        case stream
    }

    struct Rule {
        /// The opcode is a guest's.
        var isGuests = false
        /// Bits that are RES0 for this opcode.
        var forbidden: (UInt64, UInt64) = (0, 0)
        /// Bits that make a range of a TLBI by address.
        var range: (UInt64, UInt64) = (0, 0)
        var owner = Owner.everything
    }

    /// By opcode.
    private let rules: [Rule]
    /// TTL = 1 with a granule of 16 KiB means something.
    private let hasLargeDescriptors: Bool

    init(_ features: SMMUFeatures) {
        hasLargeDescriptors = features.hasLargeDescriptors
        var rules = [Rule](repeating: Rule(), count: 256)
        for (opcode, fields) in Self.fields(features) {
            var rule = Rule(isGuests: true)
            rule.forbidden.0 = ~fields.reduce(0xff) { $0 | $1.mask.0 }
            rule.forbidden.1 = ~fields.reduce(0) { $0 | $1.mask.1 }
            let ranges: [Field] = fields.filter { Field.range.contains($0) }
            rule.range = (ranges.reduce(0) { $0 | $1.mask.0 }, ranges.reduce(0) { $0 | $1.mask.1 })
            rule.owner = fields.contains(.vmid) ? .vmid : fields.contains(.streamID) ? .stream : .everything
            rules[Int(opcode.rawValue)] = rule
        }
        self.rules = rules
    }

    @inline(__always)
    func rule(_ word0: UInt64) -> Rule { rules[Int(word0 & 0xff)] }

    /// Whether the SMMU takes the command as it is.
    @inline(__always)
    func allows(_ word0: UInt64, _ word1: UInt64, _ rule: Rule) -> Bool {
        guard rule.isGuests, word0 & rule.forbidden.0 | word1 & rule.forbidden.1 == 0 else { return false }
        // Nearly all: no range, no hint.
        if word0 & rule.range.0 | word1 & rule.range.1 == 0 { return isLegalSize(word0, word1, rule) }
        return isLegalRange(word0, word1)
    }

    /// 4.4.1.1: without TG there is no range and no hint, with it not the range of one granule without hint; TTL = 1 of
    /// 16 KiB granules is for 52-bit descriptors only.
    private func isLegalRange(_ word0: UInt64, _ word1: UInt64) -> Bool {
        let command = Command(word0: word0, word1: word1)
        let isSized = word0 & (Field.num.mask.0 | Field.scaleWide.mask.0) != 0
        guard command.TG != 0 else { return false }
        guard command.TG != 2 || command.TTL != 1 || hasLargeDescriptors else { return false }
        return isSized || command.TTL != 0
    }

    /// 4.5.1: an ATC_INV of more than everything.
    @inline(__always)
    private func isLegalSize(_ word0: UInt64, _ word1: UInt64, _ rule: Rule) -> Bool {
        word0 & 0xff != UInt64(CommandOpcode.ATC_INV.rawValue) || word1 & Field.size.mask.1 <= 52
    }

    // MARK: Fields

    private struct Field: Equatable {
        let mask: (UInt64, UInt64)

        private init(_ word: Int, _ high: UInt64, _ low: UInt64) {
            let bits = (UInt64.max >> (63 - (high - low))) << low
            mask = word == 0 ? (bits, 0) : (0, bits)
        }

        static func == (left: Field, right: Field) -> Bool { left.mask == right.mask }

        static let ssv = Field(0, 11, 11)
        static let global = Field(0, 9, 9)
        static let substreamID = Field(0, 31, 12)
        static let streamID = Field(0, 63, 32)
        static let vmid = Field(0, 47, 32)
        static let asid = Field(0, 63, 48)
        static let narrowASID = Field(0, 55, 48)
        static let num = Field(0, 16, 12)
        static let scale = Field(0, 24, 20)
        /// With IDR5.DS.
        static let scaleWide = Field(0, 25, 20)
        static let leaf = Field(1, 0, 0)
        static let size = Field(1, 5, 0)
        static let ttl = Field(1, 9, 8)
        static let tg = Field(1, 11, 10)
        static let address = Field(1, 63, 12)

        static let range = [num, scale, scaleWide, ttl, tg]
    }

    /// The commands of a guest's stage 1 with the fields that they have on this SMMU.
    private static func fields(_ features: SMMUFeatures) -> [(CommandOpcode, [Field])] {
        let asid: Field = features.asidBits == 16 ? .asid : .narrowASID
        let range: [Field] =
            features.hasRangeInvalidation ? [.num, features.hasLargeDescriptors ? .scaleWide : .scale, .ttl, .tg] : []
        let hasSubstreams = features.substreamIDBits > 0
        var fields: [(CommandOpcode, [Field])] = [
            (.TLBI_NSNH_ALL, []),
            (.TLBI_NH_ALL, [.vmid]),
            (.TLBI_NH_ASID, [.vmid, asid]),
            (.TLBI_NH_VA, [.vmid, asid, .leaf, .address] + range),
            (.TLBI_NH_VAA, [.vmid, .leaf, .address] + range),
            (.CFGI_CD, [.streamID, .leaf] + (hasSubstreams ? [.substreamID] : [])),
            (.CFGI_CD_ALL, [.streamID]),
        ]
        if features.hasATS {
            fields.append(
                (.ATC_INV, [.streamID, .size, .address] + (hasSubstreams ? [.ssv, .global, .substreamID] : [])))
        }
        return fields
    }
}
