/// One field of a structure, command or register by its name in IHI 0070.
package struct NamedField: Sendable {
    /// As IHI 0070 spells it.
    package var name: String
    /// Right-aligned; of an address field the whole byte address.
    package var value: UInt64
    /// Bits, 64 for an address.
    package var width: Int

    /// With these properties.
    package init(_ name: String, _ value: UInt64, width: Int) {
        self.name = name
        self.value = value
        self.width = width
    }
}

/// An STE or CD as it lies in memory, and decoded.
package struct StructureDescription: Sendable {
    /// Eight.
    package var words: [UInt64]
    /// Each by its name, in the order of the bits.
    package var fields: [NamedField]
    /// The one that makes it illegal; nil: it is legal, or only its STE tells.
    package var illegalField: String?

    /// With these properties.
    package init(words: [UInt64], fields: [NamedField], illegalField: String? = nil) {
        self.words = words
        self.fields = fields
        self.illegalField = illegalField
    }
}

/// A command that was issued to an SMMU.
package struct CommandDescription: Sendable {
    /// "CMD_TLBI_NH_VA" and so on, "Reserved" for what IHI 0070 does not define.
    package var name: String
    /// Its parameters, in the order of the bits.
    package var fields: [NamedField]
    /// Two.
    package var words: [UInt64]

    /// With these properties.
    package init(name: String, fields: [NamedField], words: [UInt64]) {
        self.name = name
        self.fields = fields
        self.words = words
    }
}
