/// Bits of VMSAv8-64 table, block and page descriptors.
public enum PageDescriptor {
    /// The descriptor is valid.
    public static let valid: UInt64 = 1 << 0
    /// With `valid`: a table at levels 0-2, a page at level 3; without it a block.
    public static let tableOrPage: UInt64 = 1 << 1
    /// Stage 1: unprivileged access, AP[1].
    public static let AP1: UInt64 = 1 << 6
    /// Stage 1: read-only, AP[2].
    public static let AP2: UInt64 = 1 << 7
    /// Stage 2: readable, S2AP[0].
    public static let S2AP0: UInt64 = 1 << 6
    /// Stage 2: writable, S2AP[1].
    public static let S2AP1: UInt64 = 1 << 7
    /// Access flag.
    public static let AF: UInt64 = 1 << 10
    /// Stage 1: not global.
    public static let nG: UInt64 = 1 << 11
    /// Dirty Bit Modifier: writable as soon as hardware or software marks it dirty.
    public static let DBM: UInt64 = 1 << 51
    /// Contiguous hint; the model ignores it.
    public static let Contiguous: UInt64 = 1 << 52
    /// Stage 1: privileged execute-never.
    public static let PXN: UInt64 = 1 << 53
    /// Stage 1: unprivileged execute-never; execute-never in EL2 and at stage 2.
    public static let UXN: UInt64 = 1 << 54
    /// Table: PXN of everything below.
    public static let PXNTable: UInt64 = 1 << 59
    /// Table: UXN of everything below.
    public static let UXNTable: UInt64 = 1 << 60
    /// Table: no unprivileged access below, APTable[0].
    public static let APTable0: UInt64 = 1 << 61
    /// Table: no writes below, APTable[1].
    public static let APTable1: UInt64 = 1 << 62

    /// AttrIndx of a stage 1 leaf in place.
    public static func AttrIndx(_ index: UInt64) -> UInt64 { (index & 7) << 2 }
    /// MemAttr of a stage 2 leaf in place.
    public static func MemAttr(_ value: UInt64) -> UInt64 { (value & 0xf) << 2 }
    /// SH in place: 0 none, 2 outer, 3 inner.
    public static func SH(_ value: UInt64) -> UInt64 { (value & 3) << 8 }
}
