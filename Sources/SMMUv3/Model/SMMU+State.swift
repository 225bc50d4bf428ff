/// What an SMMU is, apart from what its caches hold: for moving it elsewhere.
///
/// It is a row of words, all of which are looked at before any counts.
extension SMMU {
    /// Words of a stalled transaction: StreamID, tag and flags, record.
    private static var wordsOfStall: Int { 6 }
    private static var registerWords: Int { RegisterFile.words + MonitorGroup.words }
    private static var headerWords: Int { registerWords + 4 }

    /// The registers, those of the counters included, and the transactions that are stalled, in the order of
    /// ``stalledTransactions``.
    ///
    /// Commands that a register write has left waiting are not in it: they are to be consumed first.
    public func saveState() -> [UInt64] {
        var words = registers.state + monitors.state
        words += [UInt64(nextSTAG), hasFailedATCInvalidation ? 1 : 0, lastFaultAborts ? 1 : 0, UInt64(stalls.count)]
        for stall in stalls {
            let flags: UInt64 = (stall.isRecorded ? 1 << 16 : 0) | (stall.isStale ? 1 << 17 : 0)
            words += [UInt64(stall.streamID), UInt64(stall.STAG) | flags] + stall.event.words
        }
        return words
    }

    /// The transactions that are stalled in a state of an SMMU with the same ID registers; nil for words that are none.
    public func stalledTransactions(inState words: [UInt64]) -> [(streamID: UInt32, STAG: UInt16)]? {
        guard words.count >= Self.headerWords, RegisterFile(state: words, features) != nil,
            monitors(in: words) != nil
        else {
            return nil
        }
        return stalls(in: words)?.map { ($0.streamID, $0.STAG) }
    }

    /// Becomes what another SMMU with the same ID registers was. Its own stalled transactions are terminated, and
    /// caches are empty. Not for calls of the delegate.
    ///
    /// - Returns: false, and nothing has happened, for words that are no such state.
    public func loadState(_ words: [UInt64]) -> Bool {
        guard words.count >= Self.headerWords, let registers = RegisterFile(state: words, features),
            let monitors = monitors(in: words), let stalls = stalls(in: words)
        else {
            return false
        }
        reset()
        self.registers = registers
        self.monitors = monitors
        self.monitors.start(at: delegate?.cycles() ?? 0)
        self.stalls = stalls
        let header = Self.registerWords
        nextSTAG = UInt16(truncatingIfNeeded: words[header])
        hasFailedATCInvalidation = words[header + 1] & 1 != 0
        lastFaultAborts = words[header + 2] & 1 != 0
        return true
    }

    private func monitors(in words: [UInt64]) -> MonitorGroup? {
        MonitorGroup(state: words[RegisterFile.words..<Self.registerWords], width: features.SIDSIZE)
    }

    private func stalls(in words: [UInt64]) -> [Stall]? {
        let count = words[Self.registerWords + 3]
        guard count <= UInt64(features.stallMaximum),
            words.count == Self.headerWords + Int(count) * Self.wordsOfStall
        else {
            return nil
        }
        var tags: Set<UInt16> = []
        var stalls: [Stall] = []
        for start in stride(from: Self.headerWords, to: words.count, by: Self.wordsOfStall) {
            let flags = words[start + 1]
            let event = EventRecord(
                word0: words[start + 2], word1: words[start + 3], word2: words[start + 4], word3: words[start + 5])
            let STAG = UInt16(truncatingIfNeeded: flags)
            guard words[start] == UInt64(event.StreamID), event.STAG == STAG, event.Stall, flags >> 18 == 0,
                tags.insert(STAG).inserted
            else {
                return nil
            }
            stalls.append(
                Stall(
                    streamID: event.StreamID, STAG: STAG, event: event, isRecorded: flags.bit(16),
                    isStale: flags.bit(17)))
        }
        return stalls
    }
}

extension RegisterFile {
    /// Every register that software or the SMMU writes, in an order that stays.
    private static var narrow: [WritableKeyPath<RegisterFile, UInt32>] {
        [
            \.CR0, \.CR1, \.CR2, \.GBPA, \.IRQ_CTRL, \.GERROR, \.GERRORN, \.GERROR_IRQ_CFG1, \.GERROR_IRQ_CFG2,
            \.STRTAB_BASE_CFG, \.CMDQ_PROD, \.CMDQ_CONS, \.EVENTQ_PROD, \.EVENTQ_CONS, \.EVENTQ_IRQ_CFG1,
            \.EVENTQ_IRQ_CFG2, \.PRIQ_PROD, \.PRIQ_CONS, \.PRIQ_IRQ_CFG1, \.PRIQ_IRQ_CFG2,
        ]
    }

    private static var wide: [WritableKeyPath<RegisterFile, UInt64>] {
        [
            \.GERROR_IRQ_CFG0, \.STRTAB_BASE, \.CMDQ_BASE, \.EVENTQ_BASE, \.EVENTQ_IRQ_CFG0, \.PRIQ_BASE,
            \.PRIQ_IRQ_CFG0,
        ]
    }

    static var words: Int { narrow.count + wide.count }

    var state: [UInt64] {
        Self.narrow.map { UInt64(self[keyPath: $0]) } + Self.wide.map { self[keyPath: $0] }
    }

    /// nil for what no SMMU with these features can have in them.
    fileprivate init?(state words: [UInt64], _ features: Features) {
        self.init()
        for (word, register) in zip(words, Self.narrow) {
            guard let value = UInt32(exactly: word) else { return nil }
            self[keyPath: register] = value
        }
        for (word, register) in zip(words.dropFirst(Self.narrow.count), Self.wide) { self[keyPath: register] = word }
        let queues: UInt32 = QueueIndex.overflow | QueueIndex.index
        let limits: [(UInt32, UInt32)] = [
            (CR0, SMMUv3.CR0.implemented(features)), (CR1, 0xfff), (CR2, SMMUv3.CR2.implemented(features)),
            (GBPA, 0x001f_3f1f), (IRQ_CTRL, 0b111), (CMDQ_PROD, QueueIndex.index),
            (CMDQ_CONS, SMMUv3.CMDQ_CONS.ERR | QueueIndex.index), (EVENTQ_PROD, queues), (EVENTQ_CONS, queues),
            (PRIQ_PROD, queues), (PRIQ_CONS, queues), (STRTAB_BASE_CFG, 0x0003_07ff),
        ]
        let isPossible = limits.allSatisfy { $0.0 & ~$0.1 == 0 }
        guard isPossible, wideIsPossible else { return nil }
    }

    private var wideIsPossible: Bool {
        let queue = BaseRegister.allocate | BaseRegister.queueAddress | 0x1f
        let isTable = STRTAB_BASE & ~(BaseRegister.allocate | BaseRegister.tableAddress) == 0
        return isTable && [CMDQ_BASE, EVENTQ_BASE, PRIQ_BASE].allSatisfy { $0 & ~queue == 0 }
            && [GERROR_IRQ_CFG0, EVENTQ_IRQ_CFG0, PRIQ_IRQ_CFG0].allSatisfy { $0 & ~0x00ff_ffff_ffff_fffc == 0 }
    }
}
