import IOMMU
import SMMUv3

/// Everything but memory and eventfds, which whoever moves an SMMU gives the new one, and caches, which are empty then.
extension VirtualSMMU {
    private static let wordsOfIdentification = 4
    /// Words of a stalled transaction: id, address, StreamID and SubstreamID, the rest.
    private static let wordsOfStall = 4

    /// ID registers, the VMM's names of what is stalled, the SMMU's own state.
    func saveState() -> [UInt64] {
        var words = identificationWords
        let open = smmu.stalledTransactions.compactMap { stalled[Self.key($0.streamID, $0.STAG)] }
        words += [lastStall, UInt64(open.count)]
        for stall in open {
            let transaction = stall.transaction
            words += [
                stall.id, transaction.address,
                UInt64(transaction.streamID) << 32 | UInt64(transaction.pasid ?? 0), Self.pack(transaction),
            ]
        }
        return words + smmu.saveState()
    }

    /// - Throws: `EINVAL` for the state of an SMMU with other ID registers, or what is none; nothing has happened then.
    func loadState(_ words: [UInt64]) throws(IOMMUError) {
        let header = Self.wordsOfIdentification
        guard words.count >= header + 2 else { throw StateImage.corrupt("it is too short") }
        guard Array(words.prefix(header)) == identificationWords else {
            throw IOMMUError(
                .EINVAL, .stateMismatch, "the state is that of an SMMU with other ID registers",
                hint: "create the SMMU with the identity and idr of the one that was saved")
        }
        let count = words[header + 1]
        guard count <= UInt64(smmu.stallCapacity), words.count >= header + 2 + Int(count) * Self.wordsOfStall else {
            throw StateImage.corrupt("it has more stalled transactions than there can be")
        }
        let body = header + 2
        let end = body + Int(count) * Self.wordsOfStall
        let stalls = stride(from: body, to: end, by: Self.wordsOfStall).map { Self.unpack(words[$0..<$0 + 4]) }
        let (newest, own) = (words[header], Array(words[end...]))
        guard let places = smmu.stalledTransactions(inState: own), places.map(\.streamID) == stalls.map(\.streamID),
            Set(stalls.map(\.id)).count == stalls.count, stalls.allSatisfy({ $0.id <= newest })
        else {
            throw StateImage.corrupt("its words cannot be")
        }
        _ = smmu.loadState(own)
        forget()
        lastStall = newest
        for (place, stall) in zip(places, stalls) {
            stalled[Self.key(place.streamID, place.STAG)] = BareStall(
                id: stall.id, tag: place.STAG, transaction: stall.transaction)
        }
        // Who had the SMMU before may have kept something.
        (hasAnswered, hasAnsweredATS) = (true, true)
    }

    // MARK: Words

    private static func pack(_ transaction: TransactionRequest) -> UInt64 {
        let access: UInt64 =
            switch transaction.access {
            case .read: 0
            case .write: 1
            case .execute: 2
            }
        return access | (transaction.privileged ? 1 << 2 : 0) | (transaction.pasid == nil ? 0 : 1 << 3)
    }

    /// Only untranslated transactions stall.
    private static func unpack(_ words: ArraySlice<UInt64>) -> (
        id: UInt64, streamID: UInt32, transaction: TransactionRequest
    ) {
        let (first, flags) = (words.startIndex, words[words.startIndex + 3])
        let streamID = UInt32(truncatingIfNeeded: words[first + 2] >> 32)
        let access: AccessKind = flags & 3 == 0 ? .read : flags & 3 == 1 ? .write : .execute
        let transaction = TransactionRequest(
            streamID: streamID, pasid: flags & 8 == 0 ? nil : UInt32(truncatingIfNeeded: words[first + 2]) & 0xf_ffff,
            address: words[first + 1], access: access, privileged: flags & 4 != 0)
        return (words[first], streamID, transaction)
    }

    private var identificationWords: [UInt64] {
        let words = smmu.identification
        return [
            UInt64(words.IDR0) << 32 | UInt64(words.IDR1), UInt64(words.IDR2) << 32 | UInt64(words.IDR3),
            UInt64(words.IDR4) << 32 | UInt64(words.IDR5), UInt64(words.IIDR) << 32 | UInt64(words.AIDR),
        ]
    }
}
