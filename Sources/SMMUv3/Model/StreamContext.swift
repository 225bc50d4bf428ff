/// What translates a transaction of one stream and substream, decoded from its STE and CD.
struct StreamContext {
    /// Which stages a transaction passes.
    enum Mode: UInt8 {
        case bypass
        case stage1
        case stage2
        case nested
    }

    /// StreamID << 32 | SubstreamID.
    var key: UInt64 = 0
    /// Tag of the TLB entries that this context inserts: stage 1 or nested, else stage 2.
    var tag: UInt64 = 0
    /// The generation of configuration and tags in which it was decoded; 0 if the entry is empty.
    var generation: UInt64 = 0
    /// Whether the key has a SubstreamID.
    var hasSubstream = false
    /// Whether the TLB can be asked at once: nothing overrides or adjusts the transaction.
    var isPlain = false
    /// The configuration epoch in which it was decoded.
    var epoch: UInt64 = 0
    var globalTag: UInt64 = 0
    var stage2Tag: UInt64 = 0
    var mode = Mode.bypass
    var world = StreamWorld.NS_EL1
    /// The attribute bits of the last stage 1 leaf and log2 of its size, the same of its stage 2 leaf if nested, and
    /// the `TLBAttributes` that they came to: most leaves of a table differ in nothing but their address.
    var leafKey: UInt64 = 0
    var stage2LeafKey: UInt64 = 0
    var leafAttributes: UInt64 = 0
    /// Whether `SMMU.walkQuickly` knows the kind of TTB0: 4 KiB granule, stage 1 only.
    var hasQuickTable = false
    /// Whether `SMMU.walkNestedQuickly` knows TTB0 and S2TTB: 4 KiB granules.
    var hasQuickTables = false
    /// Special treatment before the TLB look-up: TBI, E0PD.
    var adjustsAddress = false
    /// Bits 0 and 1: CD.TBI0 and TBI1.
    var ignoresTopByte: UInt8 = 0
    /// Bits 0 and 1: CD.E0PD0 and E0PD1.
    var hidesFromUnprivileged: UInt8 = 0
    /// STE.PRIVCFG and INSTCFG, 0 if they do not apply.
    var PRIVCFG: UInt8 = 0
    var INSTCFG: UInt8 = 0
    /// What enters stage 2, or the system, if stage 1 is skipped.
    var input = InputAttributes()

    // MARK: Stage 1

    var table0 = WalkParameters()
    var table1 = WalkParameters()
    var MAIR: UInt64 = 0
    var space = 0
    var machine = 0
    var ASET = false
    var aborts = true
    var records = true
    var stalls = false
    var updatesAccessFlag = false
    var updatesDirtyState = false
    /// Of table descriptors (HAFT), by stage.
    var updatesTables = false
    var stage2UpdatesTables = false
    var ignoresAccessFlag = false
    var WXN = false
    var PAN = false
    var EPAN = false
    /// Bits 0 and 1: CD.HAD0 and HAD1.
    var ignoresHierarchy: UInt8 = 0

    // MARK: Stage 2

    var table2 = WalkParameters()
    var stage2Records = true
    var stage2Stalls = false
    var stage2UpdatesAccessFlag = false
    var stage2UpdatesDirtyState = false
    var stage2IgnoresAccessFlag = false
    var protectsWalks = false
    var forcesWriteBack = false

    /// Whether translations are cached: entries of stage 2 belong to all streams of a VMID, attributes that a stream
    /// overrides to itself.
    @inline(__always)
    var usesTLB: Bool { mode != .bypass && (mode != .stage2 || !input.isOverridden) }

    /// Whether the hints that a transaction comes with have a say beside those of stage 1 (13.4.2). The TLB keeps those
    /// of stage 1 alone: other streams of the address space come with others.
    @inline(__always)
    var combinesHints: Bool { (mode == .stage1 || mode == .nested) && input.type != MemoryAttributes.writeBack }

    /// Whether a privilege level exists below EL2.
    @inline(__always)
    var hasTwoPrivileges: Bool { world != .NS_EL2 }

    /// Whether STE.INSTCFG makes every read an instruction fetch.
    var readsAreFetches: Bool { INSTCFG == 0b11 }

    @inline(__always)
    static func key(_ transaction: Transaction) -> UInt64 {
        UInt64(transaction.streamID) &<< 32 | UInt64(transaction.substreamID ?? 0)
    }

    /// Whether this is the context of a transaction, as configuration and tags are now.
    @inline(__always)
    func serves(_ transaction: Transaction, generation current: UInt64) -> Bool {
        key == Self.key(transaction) && generation == current && hasSubstream == (transaction.substreamID != nil)
    }
}

// MARK: - Decoding

extension StreamContext {
    /// What an STE contributes.
    mutating func decode(_ ste: StreamTableEntry, _ features: Features) {
        if features.overridesPermissions {
            PRIVCFG = UInt8(truncatingIfNeeded: ste.PRIVCFG)
            INSTCFG = UInt8(truncatingIfNeeded: ste.INSTCFG)
        }
        if features.overridesTypes {
            input = InputAttributes(ste)
        }
        guard ste.translatesStage2 else {
            return
        }
        let granule = WalkParameters.granuleBits(TG0: ste.S2TG)
        let inputBits = 64 - Int(ste.S2T0SZ)
        table2 = WalkParameters(
            base: ste.S2TTB, granuleBits: granule, inputBits: inputBits,
            startLevel: ste.stage2StartLevel(features, granuleBits: granule),
            outputBits: Features.addressBits(ste.S2PS, limit: features.OAS), OAS: features.OAS)
        (stage2Records, stage2Stalls) = (ste.S2R, ste.S2S)
        stage2UpdatesAccessFlag = ste.S2HA
        stage2UpdatesDirtyState = ste.S2HA && ste.S2HD
        stage2UpdatesTables = ste.S2HA && ste.S2HAFT && features.HAFT
        stage2IgnoresAccessFlag = ste.S2AFFD
        protectsWalks = ste.S2PTW
        forcesWriteBack = features.FWB && ste.S2FWB
    }

    /// What a CD contributes.
    mutating func decode(_ cd: ContextDescriptor, _ features: Features) {
        let outputBits = Features.addressBits(cd.IPS, limit: features.OAS)
        if cd.EPD0 && hasTwoPrivileges {
            table0.isDisabled = true
        } else {
            table0 = WalkParameters(
                base: cd.TTB0, granuleBits: WalkParameters.granuleBits(TG0: cd.TG0), inputBits: 64 - Int(cd.T0SZ),
                startLevel: nil, outputBits: outputBits, OAS: features.OAS)
        }
        if cd.EPD1 || !hasTwoPrivileges {
            table1.isDisabled = true
        } else {
            table1 = WalkParameters(
                base: cd.TTB1, granuleBits: WalkParameters.granuleBits(TG1: cd.TG1), inputBits: 64 - Int(cd.T1SZ),
                startLevel: nil, outputBits: outputBits, OAS: features.OAS)
        }
        updatesTables = cd.HA && cd.HAFT && features.HAFT
        let isQuick = !table0.isDisabled && table0.granuleBits == 12 && !updatesTables && !stage2UpdatesTables
        hasQuickTable = isQuick && mode == .stage1
        hasQuickTables = isQuick && mode == .nested && table2.granuleBits == 12
        MAIR = MemoryAttributes.effective(MAIR: cd.MAIR0 | cd.MAIR1 << 32)
        (aborts, records, stalls, ASET) = (cd.A, cd.R, cd.S, cd.ASET)
        updatesAccessFlag = cd.HA
        updatesDirtyState = cd.HA && cd.HD
        ignoresAccessFlag = cd.AFFD
        (WXN, PAN, EPAN) = (cd.WXN, cd.PAN && hasTwoPrivileges, cd.EPAN && features.EPAN)
        let twoTables = hasTwoPrivileges
        ignoresTopByte = (cd.TBI0 ? 1 : 0) | (cd.TBI1 && twoTables ? 2 : 0)
        if features.HAD {
            ignoresHierarchy = (cd.HAD0 ? 1 : 0) | (cd.HAD1 && twoTables ? 2 : 0)
        }
        if features.E0PD && twoTables {
            hidesFromUnprivileged = (cd.E0PD0 ? 1 : 0) | (cd.E0PD1 ? 2 : 0)
        }
        adjustsAddress = ignoresTopByte | hidesFromUnprivileged != 0
    }
}
