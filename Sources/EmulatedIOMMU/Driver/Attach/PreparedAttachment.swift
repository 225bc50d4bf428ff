import IOMMU

/// Everything that an attach, replace or detach needs, allocated and checked; nothing visible has changed.
package final class PreparedAttachment {
    /// Whose attachment it is to be.
    package let master: Master
    /// nil: of accesses without a PASID.
    package let pasid: UInt32?
    /// What it is to translate through.
    package let target: AttachTarget
    /// The master's first CD table.
    var newContexts: ContextTables?
    /// A leaf for the PASID.
    var newLeaf: UInt64?
    /// The spare CD table was made for this.
    var madeSpare = false

    init(master: Master, pasid: UInt32?, target: AttachTarget) {
        (self.master, self.pasid, self.target) = (master, pasid, target)
    }
}
