import Glibc
import LinuxIO

/// The descriptor of a fault queue or veventq, watched by the loop as long as there is room for what it brings. It is
/// closed with this object, which does not block: what the kernel may wait for is in the iommufd.
final class QueueDescriptor {
    private let descriptor: Descriptor
    private let services: any LoopServices
    private var watch: DescriptorWatch?
    /// Takes in what there is; false: no more room.
    private var take: () -> Bool = { true }

    /// - Throws: why the loop cannot watch it.
    init(_ descriptor: consuming Descriptor, _ services: any LoopServices) {
        self.descriptor = descriptor
        self.services = services
    }

    /// The number of the descriptor, to use at once.
    var number: Int32 { descriptor.number }

    /// Begins to watch. `take` reads the descriptor, and has to keep no reference to this object.
    func start(_ take: @escaping () -> Bool) throws(SystemError) {
        self.take = take
        try resume()
    }

    /// Watches again, once there is room.
    func resume() throws(SystemError) {
        guard watch == nil else { return }
        watch = try services.watch(descriptor) { [unowned self] in
            if !take() { pause() }
        }
    }

    private func pause() {
        watch?.end()
        watch = nil
    }

    /// Reads once; the kernel does not wait. - Returns: bytes; 0: there is nothing.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = Glibc.read(descriptor.number, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else { return 0 }
        }
    }

    /// - Returns: 0, or a positive errno.
    func write<Value: BitwiseCopyable>(_ value: Value) -> Int32 {
        withUnsafeBytes(of: value) { bytes in
            while true {
                let count = Glibc.write(descriptor.number, bytes.baseAddress, bytes.count)
                if count == bytes.count { return 0 }
                guard count < 0 else { return EIO }
                guard errno == EINTR else { return errno }
            }
        }
    }
}
