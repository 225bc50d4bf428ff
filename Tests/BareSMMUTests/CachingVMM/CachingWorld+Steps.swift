import IOMMU
import SMMUFacts
import SMMUv3

@testable import BareSMMU

extension CachingWorld {
    /// - Returns: what is wrong, or nil.
    func apply(_ step: CachingStep) throws -> String? {
        switch step {
        case .map(let table, let place, let level, let frame, let isGlobal, let how):
            try map(table, place, level, frame, isGlobal, how)
        case .mapStage2(let place, let level, let frame, let isWhole): try mapStage2(place, level, frame, isWhole)
        case .setContext(let index, let table): try replaceContext(index, table)
        case .setStream(let kind):
            setStream(1)
            try guest.issue(.CFGI_STE(streamID: 5), .SYNC())
            setStream(kind)
            try guest.issue(.CFGI_STE(streamID: 5), .SYNC())
        case .restart(let aborts): return try restart(aborts)
        case .access(let stream, let place, let page, let kind, let tag):
            return try access(transaction(stream, place, page, kind, tag))
        }
        return nil
    }

    // MARK: Changes

    private func leaf(_ output: UInt64, _ level: UInt64, flags: UInt64) -> UInt64 {
        let mask: UInt64 = level == 3 ? 0xfff : 0x1f_ffff
        return output & ~mask | flags | (level == 3 ? 3 : 1)
    }

    private func map(
        _ table: Int, _ place: Int, _ level: UInt64, _ frame: UInt64?, _ isGlobal: Bool, _ how: CachingStep.Telling
    ) throws {
        let address = Self.places[place]
        // What is global has to be the same for all of a VMID: the nested stream is alone in its.
        let isNested = table == 2
        if isNested, isGlobal { globalPlaces.insert(address >> 21) }
        let isOneLeaf = try clear(tables[table], address, level, start: 0)
        try guest.issue(commands(table, address, isOneLeaf, how) + [.SYNC()])
        guard let frame else { return }
        let output = isNested ? Self.places[Int(frame % 4)] : 0x8_0000_0000 + frame << 12
        try put(
            address, in: tables[table], leaf(output, level, flags: isNested && isGlobal ? 0x740 : 0xf40), level,
            start: 0)
    }

    /// Nothing is mapped at a level, nor below.
    ///
    /// - Returns: whether that was one leaf, or none.
    private func clear(_ root: UInt64, _ address: UInt64, _ level: UInt64, start: UInt64) throws -> Bool {
        var table = root
        for step in start..<level {
            let entry = table + (address >> (39 - 9 * step) & 0x1ff) * 8
            guard guest[entry] & 3 == 3 else {
                guest[entry] = 0
                return true
            }
            table = guest[entry] & 0xf_ffff_f000
        }
        let entry = table + (address >> (39 - 9 * level) & 0x1ff) * 8
        let isTable = level == 2 && guest[entry] & 3 == 3
        if isTable {
            let pages = guest[entry] & 0xf_ffff_f000
            for index in 0..<512 as Range<UInt64> { guest[pages + index * 8] = 0 }
            spares[entry] = pages
        }
        guest[entry] = 0
        return !isTable
    }

    /// Maps where nothing is, with the table that was there before.
    private func put(_ address: UInt64, in root: UInt64, _ leaf: UInt64, _ level: UInt64, start: UInt64) throws {
        var table = root
        for step in start..<level {
            let entry = table + (address >> (39 - 9 * step) & 0x1ff) * 8
            if guest[entry] == 0 {
                let next = try spares.removeValue(forKey: entry) ?? guest.page()
                guest[entry] = next | 3
            }
            table = guest[entry] & 0xf_ffff_f000
        }
        guest[table + (address >> (39 - 9 * level) & 0x1ff) * 8] = leaf
    }

    private func commands(_ table: Int, _ address: UInt64, _ isOneLeaf: Bool, _ how: CachingStep.Telling) -> [Command] {
        let (asid, vmid): (UInt16, UInt16) = (Self.asids[table], table == 2 ? 3 : 0)
        let block = address & ~0x1f_ffff
        var told: [Command]
        switch how {
        case .range:
            told = [.TLBI_NH_VA(address: block, asid: asid, vmid: vmid, leaf: false, range: Self.block)]
            if contextTables[2] == table { told.append(.TLBI_NH_VAA(address: block, vmid: vmid, range: Self.block)) }
        case .space:
            // A global leaf goes by address only.
            told = [.TLBI_NH_ASID(asid: asid, vmid: vmid), .TLBI_NH_VAA(address: block, vmid: vmid, range: Self.block)]
            if contextTables[2] == table { told.append(.TLBI_NH_ASID(asid: 13, vmid: vmid)) }
        case .machine: told = [.TLBI_NH_ALL(vmid: vmid)]
        case .everything: told = [.TLBI_NSNH_ALL()]
        case .address where isOneLeaf && contextTables[2] != table:
            told = [.TLBI_NH_VA(address: address, asid: asid, vmid: vmid)]
        case .addressOfAll where isOneLeaf: told = [.TLBI_NH_VAA(address: address, vmid: vmid)]
        case .address, .addressOfAll:
            told = [.TLBI_NH_VAA(address: block, vmid: vmid, leaf: false, range: Self.block)]
        }
        guard table != 2, table != 3 else { return told }
        return told + [.SYNC(), .ATC_INV(streamID: 1, substreamID: nil, address: block, size: 9)]
    }

    /// 2 MiB in pages of 4 KiB.
    private static var block: InvalidationRange { InvalidationRange(TG: 1, NUM: 31, SCALE: 4) }

    private func mapStage2(_ place: Int, _ level: UInt64, _ frame: UInt64?, _ isWhole: Bool) throws {
        // 39 bits of IPA; what devices read of stage 1 lies elsewhere.
        let address = Self.places[place] & 0x7f_ffff_ffff
        _ = try clear(stage2, address, level, start: 1)
        let block = address & ~0x1f_ffff
        try guest.issue(
            isWhole
                ? [.TLBI_S12_VMALL(vmid: 3), .SYNC()]
                : [
                    .TLBI_S2_IPA(address: block, vmid: 3, leaf: false, range: Self.block), .SYNC(),
                    .TLBI_NH_ALL(vmid: 3), .SYNC(),
                ])
        guard let frame else { return }
        try put(address, in: stage2, leaf(0x8_0000_0000 + frame << 12, level, flags: 0x4fc), level, start: 1)
    }

    private func replaceContext(_ index: Int, _ table: Int?) throws {
        let asid: UInt16 = index == 0 ? 9 : index == 1 ? 10 : 13
        guest.store(contexts + UInt64(index) * 64, ContextDescriptor().words)
        try guest.issue(
            .CFGI_CD(streamID: 1, substreamID: UInt32(index)), .SYNC(), .TLBI_NH_ASID(asid: asid), .SYNC(),
            .ATC_INV(streamID: 1, substreamID: nil, address: 0, size: 52), .SYNC())
        // Table 4 is the other one of the first context; the others have tables of their own.
        contextTables[index] = table.map { index == 0 ? [0, 4][$0] : index == 1 ? 1 : [0, 4][$0] }
        if let chosen = contextTables[index] { setContext(index, table: chosen) }
        try guest.issue(.CFGI_CD(streamID: 1, substreamID: UInt32(index)), .SYNC())
    }

    private func restart(_ aborts: Bool) throws -> String? {
        try guest.write(.CR0, 0b1100)
        let off = try access(transaction(5, 0, 0, 0, 0))
        try guest.write(.GBPA, 1 << 31 | (aborts ? 1 << 20 : 0) | 1 << 12)
        let other = try access(transaction(5, 0, 0, 0, 0))
        try guest.write(.CR0, 0b1101)
        return off ?? other
    }

    // MARK: Accesses

    private func transaction(
        _ stream: UInt32, _ place: Int, _ page: UInt64, _ kind: Int, _ tag: UInt64
    ) -> TransactionRequest {
        let pasid: UInt32? = stream == 1 ? [nil, 1, 2][kind % 3] : nil
        var address = Self.places[place] + page << 12 + 0x123
        if stream == 2 || stream == 3 && kind > 5 { address &= 0x7f_ffff_ffff }
        if stream == 4 { address |= tag << 56 }
        return TransactionRequest(
            streamID: stream, pasid: pasid, address: address, access: kind & 1 == 0 ? .read : .write,
            privileged: kind == 4, kind: stream == 1 && kind > 4 ? .translationRequest : .untranslated)
    }

    private enum Answer: Equatable {
        case output(UInt64)
        case event(String)
        case terminated(String)

        init(_ outcome: TranslationOutcome) {
            switch outcome {
            case .translated(let output): self = .output(output.address)
            case .fault(let fault), .stalled(_, let fault): self = .event(fault.type)
            case .terminated(let reason): self = .terminated(reason)
            }
        }
    }

    func access(_ transaction: TransactionRequest) throws -> String? {
        let expected = Answer(
            TranslationOutcome(try cacheless().translate(Transaction(transaction)), at: transaction.address))
        let found: Answer
        let isKept: Bool
        if let known = vmm.vmm.find(transaction) {
            (found, isKept) = (.output(known), true)
        } else {
            let outcome = try guest.translate(transaction)
            (found, isKept) = (Answer(outcome), false)
            if case .translated(let output) = outcome {
                vmm.vmm.keep(
                    transaction, output, tags(transaction.streamID, pasid: transaction.pasid, transaction.address))
            }
        }
        guard found == expected else {
            return "\(transaction): \(found)\(isKept ? " kept" : ""), without caches \(expected)"
        }
        // What the guest does not read would fill the queue.
        try guest.write(.EVENTQ_CONS, try guest.read(.EVENTQ_PROD))
        return nil
    }
}
