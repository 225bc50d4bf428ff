import IOMMU
import LinuxIO

/// A device of the machine, as something that can be bound. Used on workers.
package protocol DeviceDoor: Sendable {
    /// Opens the device and binds it to an iommufd, which may take long: some are reset by it.
    func bind(to iommufd: KernelHandle) throws(BindFailure) -> any BoundDevice
    /// A device that an earlier daemon has bound.
    ///
    /// - Parameters:
    ///   - id: its id in the iommufd.
    ///   - descriptor: its own, if it has one; nil: it was lost, or there is none.
    ///   - parts: what ``BoundDevice/parts`` were.
    /// - Returns: nil where it is not bound any more.
    func rebind(
        _ id: ObjectID, to iommufd: KernelHandle, _ descriptor: consuming Descriptor?, parts: [UInt32]
    ) -> (any BoundDevice)?
}

/// Why a device could not be bound.
package enum BindFailure: Error {
    /// Its node could not be opened.
    case open(SystemError)
    /// The kernel does not bind it.
    case bind(KernelFailure)
}

/// A device that is bound to an iommufd. Used on workers.
package protocol BoundDevice: Sendable {
    /// Its id in the iommufd.
    var id: ObjectID { get }
    /// Attaches it, or one of its PASIDs, to an IOAS or hwpt.
    ///
    /// - Parameter isReplacement: it is attached to something else, and moves.
    /// - Returns: the hwpt.
    func attach(to pt: ObjectID, pasid: UInt32?, isReplacement: Bool) throws(KernelFailure) -> ObjectID
    /// Detaches it, or one of its PASIDs.
    func detach(pasid: UInt32?) throws(KernelFailure)
    /// Gives it back: detached, and no longer bound unless somebody else has its descriptor.
    func release()
    /// The descriptor of the bound device once more; nil: it has none of its own.
    func duplicate() throws(SystemError) -> Descriptor?
    /// Its descriptor, to use at once; nil: it has none of its own.
    var descriptor: Int32? { get }
    /// Ids in the iommufd that are its own besides ``id``.
    var parts: [UInt32] { get }
    /// Lets go of its descriptor, which somebody else has as well: it stays bound, and attached.
    func leave()
}

extension BoundDevice {
    /// Most devices have one id.
    package var parts: [UInt32] { [] }

    /// Gives it back, blocked also if somebody else has its descriptor.
    ///
    /// - Parameter keys: PASIDs that are attached; ``KernelDevice/ridKey`` for the device itself.
    func release(attachedAt keys: [UInt32]) {
        for key in keys.sorted(by: >) { try? detach(pasid: key == KernelDevice.ridKey ? nil : key) }
        release()
    }
}
