/// How CMD_RESUME ends a stall (4.7.1).
public enum ResumeAction: Equatable, Sendable {
    /// Translate again as if the transaction had just arrived.
    case retry
    /// Terminate; with an abort, or reading zero and ignoring writes.
    case terminate(abort: Bool)
}

/// How CMD_PRI_RESP answers a page request group (4.5.2).
public enum PageResponse: UInt64, Equatable, Sendable {
    case ResponseFailure = 0b00
    case InvalidRequest = 0b01
    case Success = 0b10
}

/// The range of an invalidation by address (4.4.1.1).
public struct InvalidationRange: Equatable, Sendable {
    /// 1 = 4 KiB, 2 = 16 KiB, 3 = 64 KiB.
    public var TG: UInt64
    /// Multiplier minus one, 0...31.
    public var NUM: UInt64
    /// Power of two, 0...31.
    public var SCALE: UInt64
    /// Level that holds the leaf entries, 0 if any.
    public var TTL: UInt64

    /// A range of (NUM + 1) * 2^SCALE granules.
    @inlinable
    public init(TG: UInt64, NUM: UInt64 = 0, SCALE: UInt64 = 0, TTL: UInt64 = 0) {
        self.TG = TG
        self.NUM = NUM
        self.SCALE = SCALE
        self.TTL = TTL
    }
}

extension Command {
    @inlinable
    init(_ opcode: CommandOpcode, streamID: UInt32, substreamID: UInt32? = nil) {
        self.init(opcode)
        StreamID = streamID
        SubstreamID = substreamID ?? 0
    }

    @inlinable
    init(_ opcode: CommandOpcode, address: UInt64, leaf: Bool, range: InvalidationRange?) {
        self.init(opcode)
        Address = address
        Leaf = leaf
        if let range {
            (TG, NUM, SCALE, TTL) = (range.TG, range.NUM, range.SCALE, range.TTL)
        }
    }

    // MARK: Configuration

    /// Forgets one STE and all CDs found through it.
    @inlinable
    public static func CFGI_STE(streamID: UInt32, leaf: Bool = true) -> Command {
        var command = Command(.CFGI_STE, streamID: streamID)
        command.Leaf = leaf
        return command
    }

    /// Forgets the 2^(range + 1) STEs around `streamID`.
    @inlinable
    public static func CFGI_STE_RANGE(streamID: UInt32, range: UInt64) -> Command {
        var command = Command(.CFGI_STE_RANGE, streamID: streamID)
        command.Range = range
        return command
    }

    /// Forgets all configuration.
    @inlinable
    public static func CFGI_ALL() -> Command { CFGI_STE_RANGE(streamID: 0, range: 31) }

    /// Forgets one CD of a stream.
    @inlinable
    public static func CFGI_CD(streamID: UInt32, substreamID: UInt32, leaf: Bool = true) -> Command {
        var command = Command(.CFGI_CD, streamID: streamID, substreamID: substreamID)
        command.Leaf = leaf
        return command
    }

    /// Forgets every CD of a stream.
    @inlinable
    public static func CFGI_CD_ALL(streamID: UInt32) -> Command { Command(.CFGI_CD_ALL, streamID: streamID) }

    /// Hints that a stream's configuration will be needed.
    @inlinable
    public static func PREFETCH_CONFIG(streamID: UInt32, substreamID: UInt32? = nil) -> Command {
        var command = Command(.PREFETCH_CONFIG, streamID: streamID, substreamID: substreamID)
        command.SSV = substreamID != nil
        return command
    }

    // MARK: Translations

    /// Forgets all stage 1 entries of a VMID.
    @inlinable
    public static func TLBI_NH_ALL(vmid: UInt16 = 0) -> Command {
        var command = Command(.TLBI_NH_ALL)
        command.VMID = vmid
        return command
    }

    /// Forgets the non-global stage 1 entries of an ASID.
    @inlinable
    public static func TLBI_NH_ASID(asid: UInt16, vmid: UInt16 = 0) -> Command {
        var command = Command(.TLBI_NH_ASID)
        (command.ASID, command.VMID) = (asid, vmid)
        return command
    }

    /// Forgets stage 1 entries by VA and ASID, global ones too.
    @inlinable
    public static func TLBI_NH_VA(
        address: UInt64, asid: UInt16, vmid: UInt16 = 0, leaf: Bool = true, range: InvalidationRange? = nil
    ) -> Command {
        var command = Command(.TLBI_NH_VA, address: address, leaf: leaf, range: range)
        (command.ASID, command.VMID) = (asid, vmid)
        return command
    }

    /// Forgets stage 1 entries by VA for all ASIDs.
    @inlinable
    public static func TLBI_NH_VAA(
        address: UInt64, vmid: UInt16 = 0, leaf: Bool = true, range: InvalidationRange? = nil
    ) -> Command {
        var command = Command(.TLBI_NH_VAA, address: address, leaf: leaf, range: range)
        command.VMID = vmid
        return command
    }

    /// Forgets all EL2 stage 1 entries.
    @inlinable
    public static func TLBI_EL2_ALL() -> Command { Command(.TLBI_EL2_ALL) }

    /// Forgets the non-global EL2-E2H entries of an ASID.
    @inlinable
    public static func TLBI_EL2_ASID(asid: UInt16) -> Command {
        var command = Command(.TLBI_EL2_ASID)
        command.ASID = asid
        return command
    }

    /// Forgets EL2 stage 1 entries by VA and, with E2H, ASID.
    @inlinable
    public static func TLBI_EL2_VA(
        address: UInt64, asid: UInt16, leaf: Bool = true, range: InvalidationRange? = nil
    ) -> Command {
        var command = Command(.TLBI_EL2_VA, address: address, leaf: leaf, range: range)
        command.ASID = asid
        return command
    }

    /// Forgets EL2 stage 1 entries by VA, of every ASID.
    @inlinable
    public static func TLBI_EL2_VAA(address: UInt64, leaf: Bool = true, range: InvalidationRange? = nil) -> Command {
        Command(.TLBI_EL2_VAA, address: address, leaf: leaf, range: range)
    }

    /// Forgets both stages of a VMID.
    @inlinable
    public static func TLBI_S12_VMALL(vmid: UInt16) -> Command {
        var command = Command(.TLBI_S12_VMALL)
        command.VMID = vmid
        return command
    }

    /// Forgets stage 2 entries by IPA.
    @inlinable
    public static func TLBI_S2_IPA(
        address: UInt64, vmid: UInt16, leaf: Bool = true, range: InvalidationRange? = nil
    ) -> Command {
        var command = Command(.TLBI_S2_IPA, address: address, leaf: leaf, range: range)
        command.VMID = vmid
        return command
    }

    /// Forgets everything but the EL2 regimes.
    @inlinable
    public static func TLBI_NSNH_ALL() -> Command { Command(.TLBI_NSNH_ALL) }

    // MARK: Devices

    /// Tells a device to forget the 2^size pages around `address`; size 52 means all.
    @inlinable
    public static func ATC_INV(
        streamID: UInt32, substreamID: UInt32?, address: UInt64, size: UInt64, global: Bool = false
    ) -> Command {
        var command = Command(.ATC_INV, streamID: streamID, substreamID: substreamID)
        (command.SSV, command.Global) = (substreamID != nil, global)
        (command.Address, command.Size) = (address, size)
        return command
    }

    /// Answers a page request group.
    @inlinable
    public static func PRI_RESP(
        streamID: UInt32, substreamID: UInt32?, prgIndex: UInt16, response: PageResponse
    ) -> Command {
        var command = Command(.PRI_RESP, streamID: streamID, substreamID: substreamID)
        command.SSV = substreamID != nil
        (command.PRGIndex, command.Resp) = (prgIndex, response.rawValue)
        return command
    }

    /// Resumes or terminates one stalled transaction.
    @inlinable
    public static func RESUME(streamID: UInt32, stag: UInt16, action: ResumeAction) -> Command {
        var command = Command(.RESUME, streamID: streamID)
        command.STAG = stag
        switch action {
        case .retry: command.Action = true
        case .terminate(let abort): command.Abort = abort
        }
        return command
    }

    /// Terminates every stalled transaction of a stream.
    @inlinable
    public static func STALL_TERM(streamID: UInt32) -> Command { Command(.STALL_TERM, streamID: streamID) }

    /// Waits for all earlier commands.
    @inlinable
    public static func SYNC(signal: UInt64 = 0, msiAddress: UInt64 = 0, msiData: UInt32 = 0) -> Command {
        var command = Command(.SYNC)
        command.CS = signal
        if msiAddress != 0 {
            (command.MSIAddress, command.MSIData) = (msiAddress, msiData)
        }
        return command
    }
}
