import CLinux
import Glibc
import IOMMU
import LinuxIO

/// The node of a device that a vfio driver has: `/dev/vfio/devices/vfioN`.
package struct VFIODoor: DeviceDoor {
    let path: String

    /// Until when a node that cannot be opened yet is tried again: one that has just come has no group before udev has
    /// seen it. Nanoseconds of the monotonic clock.
    let patienceUntil: UInt64

    /// - Parameters:
    ///   - path: "/dev/vfio/devices/vfio0"
    ///   - patienceUntil: see there; 0: once is enough.
    package init(path: String, patienceUntil: UInt64 = 0) {
        self.path = path
        self.patienceUntil = patienceUntil
    }

    private static let pause = timespec(tv_sec: 0, tv_nsec: 20_000_000)

    private func open(_ calls: any KernelCalls) throws(SystemError) -> Descriptor {
        while true {
            do throws(SystemError) {
                return try calls.open(path)
            } catch {
                let mayCome = [EACCES, EPERM, ENOENT].contains(error.errno)
                guard mayCome, MonotonicClock.nanoseconds < patienceUntil else { throw error }
                var pause = Self.pause
                nanosleep(&pause, nil)
            }
        }
    }

    /// `VFIO_DEVICE_BIND_IOMMUFD` on a node that is opened for it.
    package func bind(to iommufd: KernelHandle) throws(BindFailure) -> any BoundDevice {
        let descriptor: Descriptor
        do throws(SystemError) { descriptor = try open(iommufd.calls) } catch { throw .open(error) }
        let file = KernelFile(descriptor)
        var argument = clinux_vfio_device_bind_iommufd()
        argument.iommufd = iommufd.file.number
        do throws(KernelFailure) {
            try iommufd.calls.perform(VFIO.bind, on: file.number, &argument)
        } catch {
            file.end()
            throw .bind(error)
        }
        return VFIODevice(id: argument.out_devid, calls: iommufd.calls, file: file)
    }

    /// Its descriptor is all that there is of it: without it the kernel has given the device back.
    package func rebind(
        _ id: ObjectID, to iommufd: KernelHandle, _ descriptor: consuming Descriptor?, parts: [UInt32]
    ) -> (any BoundDevice)? {
        guard let descriptor else { return nil }
        return VFIODevice(id: id, calls: iommufd.calls, file: KernelFile(descriptor))
    }
}

/// A bound vfio device.
struct VFIODevice: BoundDevice {
    private static let pasidFlag: UInt32 = 1

    let id: ObjectID
    let calls: any KernelCalls
    let file: KernelFile

    func attach(to pt: ObjectID, pasid: UInt32?, isReplacement: Bool) throws(KernelFailure) -> ObjectID {
        var argument = clinux_vfio_device_attach_iommufd_pt()
        argument.pt_id = pt
        if let pasid {
            (argument.flags, argument.pasid) = (Self.pasidFlag, pasid)
            try calls.perform(VFIO.attachPASID, on: file.number, &argument)
        } else {
            try calls.perform(VFIO.attach, on: file.number, &argument)
        }
        return argument.pt_id
    }

    func detach(pasid: UInt32?) throws(KernelFailure) {
        var argument = clinux_vfio_device_detach_iommufd_pt()
        if let pasid {
            (argument.flags, argument.pasid) = (Self.pasidFlag, pasid)
            try calls.perform(VFIO.detachPASID, on: file.number, &argument)
        } else {
            try calls.perform(VFIO.detach, on: file.number, &argument)
        }
    }

    func release() { file.end() }

    func leave() { file.end() }

    var descriptor: Int32? { file.number }

    func duplicate() throws(SystemError) -> Descriptor? {
        try Descriptor(opened: clinux_duplicate(file.number), "duplicate the descriptor of a device")
    }
}
