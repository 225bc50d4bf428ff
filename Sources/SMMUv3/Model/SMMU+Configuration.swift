extension SMMU {
    /// What a fetch of configuration came to.
    enum Lookup<Value> {
        case found(Value)
        /// The transaction ends with this event.
        case failed(EventRecord)
        /// A stage 2 fault on the way to a CD.
        case faulted(Fault)
    }

    /// An event of configuration for a transaction.
    static func event(_ type: EventType, _ transaction: Transaction) -> EventRecord {
        var event = EventRecord()
        event.number = type.rawValue
        event.StreamID = transaction.streamID
        switch type {
        case .F_STREAM_DISABLED, .F_TRANSL_FORBIDDEN: break
        case .C_BAD_SUBSTREAMID: event.SubstreamID = transaction.substreamID ?? 0
        default:
            event.SSV = transaction.substreamID != nil
            event.SubstreamID = transaction.substreamID ?? 0
        }
        return event
    }

    // MARK: STE

    /// The STE of a stream, from the cache or the tables.
    func findSTE(_ transaction: Transaction, live: Bool) -> Lookup<StreamTableEntry> {
        let key = UInt64(transaction.streamID)
        let cached = live ? streamEntries.find(key) : streamEntries.peek(key)
        if let cached {
            return check(cached, transaction)
        }
        let fetched: StreamTableEntry
        switch locateSTE(transaction.streamID) {
        case .none: return .failed(Self.event(.C_BAD_STREAMID, transaction))
        case .aborted(let address): return fetchFailure(.F_STE_FETCH, transaction, address)
        case .at(let address):
            guard let words = loadStructure(address) else {
                return fetchFailure(.F_STE_FETCH, transaction, address)
            }
            fetched = StreamTableEntry(words)
        }
        let result = check(fetched, transaction)
        if live {
            if case .found = result {
                streamEntries.insert(key, fetched)
            } else if geometry.cachesIllegalConfiguration {
                streamEntries.insert(key, fetched)
            }
        }
        return result
    }

    private func check(_ ste: StreamTableEntry, _ transaction: Transaction) -> Lookup<StreamTableEntry> {
        ste.illegalField(features) != nil ? .failed(Self.event(.C_BAD_STE, transaction)) : .found(ste)
    }

    private func fetchFailure<Value>(_ type: EventType, _ transaction: Transaction, _ address: UInt64) -> Lookup<Value>
    {
        var event = Self.event(type, transaction)
        event.FetchAddr = address
        return .failed(event)
    }

    enum Location {
        case none
        case aborted(UInt64)
        case at(UInt64)
    }

    /// Where the tables say that the STE of a stream is (3.3.1).
    func locateSTE(_ streamID: UInt32) -> Location {
        let configuration = UInt64(registers.STRTAB_BASE_CFG)
        let log2Size = configuration.bits(5, 0)
        let sid = UInt64(streamID)
        guard sid >> min(log2Size, features.SIDSIZE) == 0 else {
            return .none
        }
        let base = truncateToOAS(registers.STRTAB_BASE & BaseRegister.tableAddress)
        guard features.twoLevelStreamTable, configuration.bits(17, 16) == 1 else {
            let alignment = min(log2Size + 6, 63)
            return .at(truncateToOAS(((base >> alignment) << alignment) &+ sid << 6))
        }
        var split = configuration.bits(10, 6)
        if split != 8 && split != 10 {
            split = 6
        }
        let tableBits = log2Size > split ? log2Size - split + 3 : 3
        let alignment = min(max(6, tableBits), 63)
        let descriptorAddress = ((base >> alignment) << alignment) &+ (sid >> split) << 3
        countConfigurationAccess()
        guard let descriptor = memory.load64(truncateToOAS(descriptorAddress)) else {
            return .aborted(descriptorAddress)
        }
        let span = descriptor.bits(4, 0)
        guard span != 0, span <= split + 1, sid & ((1 << split) - 1) < 1 << (span - 1) else {
            return .none
        }
        let table = descriptor & BaseRegister.tableAddress & ~((1 << (span + 5)) - 1)
        return .at(truncateToOAS(table) &+ (sid & ((1 << split) - 1)) << 6)
    }

    // MARK: CD

    /// The CD that a transaction uses: its index in the table of the stream (5.2 S1DSS).
    enum ContextChoice {
        case index(UInt32)
        /// Stage 1 is skipped.
        case bypass
        case failed(EventRecord)
    }

    func chooseContext(_ ste: StreamTableEntry, _ transaction: Transaction) -> ContextChoice {
        let enabled = ste.translatesStage1 && features.SSIDSIZE != 0 && ste.S1CDMax != 0
        if let substreamID = transaction.substreamID {
            guard enabled, UInt64(substreamID) >> ste.S1CDMax == 0 else {
                return .failed(Self.event(.C_BAD_SUBSTREAMID, transaction))
            }
            if substreamID == 0 && ste.S1DSS == 0b10 {
                return .failed(Self.event(.F_STREAM_DISABLED, transaction))
            }
            return .index(substreamID)
        }
        guard enabled else {
            return ste.translatesStage1 ? .index(0) : .bypass
        }
        switch ste.S1DSS {
        case 0b01: return .bypass
        case 0b10: return .index(0)
        default: return .failed(Self.event(.F_STREAM_DISABLED, transaction))
        }
    }

    /// The CD at an index, from the cache or the tables.
    func findCD(
        _ ste: StreamTableEntry, index: UInt32, _ context: UnsafePointer<StreamContext>, _ transaction: Transaction,
        live: Bool
    ) -> Lookup<ContextDescriptor> {
        let key = Self.contextKey(streamID: transaction.streamID, index: index)
        let cached = live ? contextDescriptors.find(key) : contextDescriptors.peek(key)
        if let cached {
            return check(cached, ste, context.pointee.world, transaction)
        }
        let fetched: ContextDescriptor
        switch fetchCD(ste, index: index, context, transaction, live: live) {
        case .found(let cd): fetched = cd
        case let other: return other
        }
        let result = check(fetched, ste, context.pointee.world, transaction)
        if live {
            if case .found = result {
                contextDescriptors.insert(key, fetched)
            } else if geometry.cachesIllegalConfiguration {
                contextDescriptors.insert(key, fetched)
            }
        }
        return result
    }

    private func check(
        _ cd: ContextDescriptor, _ ste: StreamTableEntry, _ world: StreamWorld, _ transaction: Transaction
    ) -> Lookup<ContextDescriptor> {
        cd.illegalField(ste: ste, world: world, features) != nil
            ? .failed(Self.event(.C_BAD_CD, transaction)) : .found(cd)
    }

    func fetchCD(
        _ ste: StreamTableEntry, index: UInt32, _ context: UnsafePointer<StreamContext>, _ transaction: Transaction,
        live: Bool
    ) -> Lookup<ContextDescriptor> {
        let leafBits: UInt64 = ste.S1Fmt == 0b01 ? 6 : 10
        let isTwoLevel = (ste.S1Fmt == 0b01 || ste.S1Fmt == 0b10) && ste.S1CDMax != 0 && features.SSIDSIZE != 0
        let CDMax = features.SSIDSIZE == 0 ? 0 : ste.S1CDMax
        var address: UInt64
        do throws(Fault) {
            if isTwoLevel {
                let tableBits = CDMax > leafBits ? max(CDMax - leafBits + 3, 6) : 6
                let table = (ste.S1ContextPtr >> tableBits) << tableBits
                let descriptorAddress = try translateCDAddress(
                    table &+ (UInt64(index) >> leafBits) << 3, context, live: live)
                countConfigurationAccess()
                guard let descriptor = memory.load64(descriptorAddress) else {
                    return fetchFailure(.F_CD_FETCH, transaction, descriptorAddress)
                }
                let L2Ptr = descriptor.bits(55, 12) << 12
                guard descriptor.bit(0), L2Ptr >> UInt64(features.OAS) == 0 else {
                    var event = Self.event(.C_BAD_SUBSTREAMID, transaction)
                    event.SubstreamID = index
                    return .failed(event)
                }
                let leafMask: UInt64 = (1 << leafBits) - 1
                let leafBytes = leafBits + 6
                address = ((L2Ptr >> leafBytes) << leafBytes) &+ (UInt64(index) & leafMask) << 6
            } else {
                let alignment = CDMax + 6
                address = ((ste.S1ContextPtr >> alignment) << alignment) &+ UInt64(index) << 6
            }
            address = try translateCDAddress(address, context, live: live)
        } catch {
            return .faulted(error)
        }
        guard let words = loadStructure(address) else {
            return fetchFailure(.F_CD_FETCH, transaction, address)
        }
        return .found(ContextDescriptor(words))
    }

    /// The address of a CD or L1CD is an IPA where stage 2 translates.
    private func translateCDAddress(
        _ address: UInt64, _ context: UnsafePointer<StreamContext>, live: Bool
    ) throws(Fault) -> UInt64 {
        guard context.pointee.mode == .nested else {
            return address
        }
        let request = Stage2Request(
            IPA: address, purpose: .CD, required: TLBPermissions.stage2Read, isWrite: false)
        return try translateTableAddress(context, request, live: live)
    }

    /// The eight words of an STE or CD, each read once.
    func loadStructure(_ address: UInt64) -> StructureWords? {
        countConfigurationAccess()
        guard let word0 = memory.load64(address), let word1 = memory.load64(address &+ 8),
            let word2 = memory.load64(address &+ 16), let word3 = memory.load64(address &+ 24),
            let word4 = memory.load64(address &+ 32), let word5 = memory.load64(address &+ 40),
            let word6 = memory.load64(address &+ 48), let word7 = memory.load64(address &+ 56)
        else {
            return nil
        }
        return (word0, word1, word2, word3, word4, word5, word6, word7)
    }
}

/// The words of an STE or CD in order.
typealias StructureWords = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

extension ConfigurationEntry {
    @inline(__always)
    init(_ words: StructureWords) {
        self.init()
        (word0, word1, word2, word3, word4, word5, word6, word7) = words
    }
}
