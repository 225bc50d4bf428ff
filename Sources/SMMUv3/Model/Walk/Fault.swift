/// What stopped a transaction, before A, R and S decide what becomes of it.
struct Fault: Error {
    let type: EventType
    let isStage2: Bool
    let purpose: EventClass
    /// IPA of a stage 2 fault, or the physical address whose fetch aborted.
    let address: UInt64
    /// The access to the stage 1 table was a write (TTRnW = 0).
    let isTableWrite: Bool

    @inline(__always)
    init(
        _ type: EventType, isStage2: Bool = false, purpose: EventClass = .IN, address: UInt64 = 0,
        isTableWrite: Bool = false
    ) {
        self.type = type
        self.isStage2 = isStage2
        self.purpose = purpose
        self.address = address
        self.isTableWrite = isTableWrite
    }
}

/// The access that a walk is made for.
struct Request {
    /// Input address, top byte already ignored where TBI says so.
    var address: UInt64
    var access: Access
    /// After STE overrides, and always true in a regime without privileges.
    var privileged: Bool

    @inline(__always)
    var isWrite: Bool { access == .write }
}

/// A leaf that a stage of translation found.
struct Mapping {
    /// Output address of the first byte of the page.
    var output: UInt64
    /// `TLBPermissions` of the stage.
    var permissions: UInt64
    var log2Size: UInt64
    var memoryAttributes: UInt8
    var shareability: UInt8
    var level: Int8
    var granuleBits: UInt8
    var isGlobal: Bool
    /// log2 of the bytes that the stage 1 leaf maps, where stage 2 maps less; else 0.
    var splitBits: UInt64 = 0
    /// A stage 2 leaf whose type replaces that of stage 1.
    var replacesType = false
    /// What `StreamContext.leafKey` is for this leaf, 0 if it may not be remembered.
    var leafKey: UInt64 = 0
    /// The same of the stage 2 leaf if nested.
    var stage2LeafKey: UInt64 = 0
}
