import IOMMU
import LinuxIO
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct AcceleratorQueueTests {
    private enum Step: CaseIterable { case exit, closeFirst, closeSecond, remove, unbind, closeMM }

    /// Every order of `steps`.
    private static func orders(_ steps: [Step]) -> [[Step]] {
        guard !steps.isEmpty else { return [[]] }
        return steps.indices.flatMap { index -> [[Step]] in
            var rest = steps
            let step = rest.remove(at: index)
            return orders(rest).map { [step] + $0 }
        }
    }

    /// mm exit, device removal, closing and unbinding, in each order: calls on what is left answer cleanly, and
    /// nothing is freed twice or kept.
    @Test func everyInterleavingOfEndsIsClean() throws {
        for order in Self.orders(Step.allCases) {
            let laboratory = try Laboratory()
            let context = laboratory.context
            let device = try laboratory.bind("uacce0")
            let memory = try context.createMemory(size: 4096, name: nil, huge: false)
            let mm = try context.emulated.createMM()
            try context.emulated.mapMM(
                mm, va: 0, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: true)
            let (bond, _, _) = try context.emulated.bindSVA(device: device, mm: mm)
            let first = try context.emulated.openQueue(device: device, mm: mm).queue
            let second = try context.emulated.openQueue(device: device, mm: mm).queue
            _ = try context.emulated.startQueue(first)
            _ = try laboratory.submit(first, .fill(destination: 0, length: 16, value: 1))
            var done: Set<Step> = []
            for step in order {
                switch step {
                case .exit: if !done.contains(.closeMM) { try context.emulated.exitMM(mm) }
                case .closeFirst: _ = try context.emulated.closeQueue(first)
                case .closeSecond: _ = try context.emulated.closeQueue(second)
                case .remove: try laboratory.backend.removeDevice(named: "uacce0")
                case .unbind: _ = try context.emulated.unbindSVA(bond: bond)
                case .closeMM:
                    let isFree = done.isSuperset(of: [.closeFirst, .closeSecond, .unbind])
                    #expect((try? context.emulated.closeMM(mm)) != nil || !isFree)
                    if !isFree { continue }
                }
                done.insert(step)
                try check(context, laboratory, first: first, second: second, done)
            }
            if !done.contains(.closeMM) { try context.emulated.closeMM(mm) }
            #expect(laboratory.backend.sva.all.isEmpty)
            #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 0)
            try context.unbind(device: device)
            try context.closeMemory(memory)
            #expect(laboratory.account.used(.objects) == 0, "\(order)")
        }
    }

    private func check(
        _ context: ObjectContext, _ laboratory: Laboratory, first: ObjectID, second: ObjectID, _ done: Set<Step>
    ) throws {
        let ended: Errno? = done.contains(.exit) ? .ESRCH : nil
        let removed: Errno? = done.contains(.remove) ? .ENODEV : nil
        for (queue, close, start) in [(first, Step.closeFirst, Errno.EINVAL), (second, .closeSecond, nil)] {
            let result = Result { try context.emulated.startQueue(queue) }
            guard case .failure(let error as IOMMUError) = result else {
                #expect(start == nil && ended == nil && removed == nil && !done.contains(close))
                _ = try context.emulated.stopQueue(queue)
                continue
            }
            if done.contains(close) {
                #expect(error.errno == .ENOENT)
            } else if let cause = removed ?? ended {
                #expect(error.errno == cause, "a device that is gone is what a caller hears of, whatever went first")
                #expect(
                    refusal { _ = try laboratory.submit(queue, .checksum(source: 0, length: 1)) }?.errno == error.errno)
                #expect(try context.emulated.queueState(queue).state == .zombie)
            } else {
                #expect(error.errno == start)
            }
        }
    }

    @Test func statesFollowEachOther() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let plain = try laboratory.bind("0000:03:00.0")
        let mm = try context.emulated.createMM()
        #expect(refusal { _ = try context.emulated.openQueue(device: plain, mm: mm) }?.errno == .ENODEV)
        let (queue, pasid) = try context.emulated.openQueue(device: device, mm: mm)
        #expect(context.emulated.bonds().map(\.pasid) == [pasid])
        #expect(try context.emulated.stopQueue(queue) == .initial)
        #expect(try context.emulated.startQueue(queue) == .started)
        #expect(refusal { _ = try context.emulated.startQueue(queue) }?.errno == .EINVAL)
        #expect(try context.emulated.stopQueue(queue) == .initial)
        #expect(try context.emulated.startQueue(queue) == .started)
        #expect(
            refusal { _ = try context.emulated.unbindSVA(bond: context.emulated.bonds().first?.bond ?? 0) }?.errno
                == .EBUSY)
        let others = try (0..<15).map { _ in try context.emulated.openQueue(device: device, mm: mm).queue }
        #expect(refusal { _ = try context.emulated.openQueue(device: device, mm: mm) }?.errno == .EBUSY)
        #expect(context.emulated.bonds().map(\.users) == [16])
        for other in others { _ = try context.emulated.closeQueue(other) }
        #expect(try context.emulated.closeQueue(queue) == .started)
        #expect(context.emulated.bonds().isEmpty, "closing the last queue unbinds")
        #expect(refusal { _ = try context.emulated.closeQueue(queue) }?.errno == .ENOENT)
    }

    @Test func unbindingTheDeviceEndsItsBonds() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.emulated.createMM()
        let (queue, _) = try context.emulated.openQueue(device: device, mm: mm)
        try context.unbind(device: device)
        #expect(refusal { _ = try context.emulated.startQueue(queue) }?.errno == .ENODEV)
        #expect(context.emulated.bonds().map(\.state) == ["gone"], "the queue still holds it")
        #expect(try laboratory.bind("uacce0") == device)
        let (again, _) = try context.emulated.openQueue(device: device, mm: mm)
        #expect(try context.emulated.startQueue(again) == .started)
        _ = try context.emulated.closeQueue(queue)
        #expect(try context.emulated.stopQueue(again) == .initial)
    }
}
