import LinuxIO

/// The state of a context that is in a kernel, and goes on there for as long as somebody has its descriptors.
///
/// The kernel cannot be asked what it has. A change is therefore written down twice, as what is about to be done and as
/// what has been done; after a restart those that have been done are entered in the context's books, and the last one
/// of which nobody knows is brought to an end: done, or not at all.
package protocol LivingState: AnyObject {
    // MARK: Descriptors

    /// Opens what all objects are in. - Returns: its descriptor, to use at once.
    ///
    /// - Throws: `ENODEV`, `EPERM`, `EMFILE`, `EDQUOT`.
    func open() throws(IOMMUError) -> Int32
    /// The descriptor of an object, to use at once; nil: it has none.
    func descriptor(of object: ObjectID) -> Int32?
    /// Whether an object can be ended: what is kept of it is let go first.
    ///
    /// - Throws: as `object.destroy`.
    func checkDestroy(_ object: ObjectID) throws(IOMMUError)
    /// Whether a device can be given back, likewise.
    ///
    /// - Parameter force: also if its descriptor has been handed out.
    /// - Throws: as `device.unbind`.
    func checkUnbind(_ device: ObjectID, force: Bool) throws(IOMMUError)

    // MARK: After a restart

    /// Enters a change that has been made.
    ///
    /// - Parameter give: a kept file once more; nil: it was lost.
    /// - Throws: `EIO` where what it is about is lost.
    func enter(_ change: Change, give: (UInt64) -> Descriptor?) throws(IOMMUError)
    /// Brings a change to an end of which nobody knows whether it was made; nil: none is left.
    ///
    /// - Returns: the change, where it is made now; nil: it is not.
    func resolve(_ change: Change?) -> Change?

    // MARK: The end of the daemon

    /// Lets go of all descriptors, and ends nothing: somebody else has them as well.
    func leave()
}
