import IOMMU
import LinuxIO
import Testing

@testable import EmulatedIOMMU

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
            let mm = try context.createMM()
            try context.mapMM(
                mm, va: 0, memory: memory, offset: 0, length: 4096, access: [.read, .write], populate: true)
            let (bond, _, _) = try context.bindSVA(device: device, mm: mm)
            let first = try context.openQueue(device: device, mm: mm).queue
            let second = try context.openQueue(device: device, mm: mm).queue
            _ = try context.startQueue(first)
            _ = try laboratory.submit(first, .fill(destination: 0, length: 16, value: 1))
            var done: Set<Step> = []
            for step in order {
                switch step {
                case .exit: if !done.contains(.closeMM) { try context.exitMM(mm) }
                case .closeFirst: _ = try context.closeQueue(first)
                case .closeSecond: _ = try context.closeQueue(second)
                case .remove: try laboratory.backend.removeDevice(named: "uacce0")
                case .unbind: _ = try context.unbindSVA(bond: bond)
                case .closeMM:
                    let isFree = done.isSuperset(of: [.closeFirst, .closeSecond, .unbind])
                    #expect((try? context.closeMM(mm)) != nil || !isFree)
                    if !isFree { continue }
                }
                done.insert(step)
                try check(context, laboratory, first: first, second: second, done)
            }
            if !done.contains(.closeMM) { try context.closeMM(mm) }
            #expect(laboratory.backend.sva.all.isEmpty)
            #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 0)
            try context.unbind(device: device)
            try context.closeMemory(memory)
            #expect(laboratory.account.used(.objects) == 0, "\(order)")
        }
    }

    private func check(
        _ context: EmulatedContext, _ laboratory: Laboratory, first: ObjectID, second: ObjectID, _ done: Set<Step>
    ) throws {
        let ended: Errno? = done.contains(.exit) ? .ESRCH : nil
        let removed: Errno? = done.contains(.remove) ? .ENODEV : nil
        for (queue, close, start) in [(first, Step.closeFirst, Errno.EINVAL), (second, .closeSecond, nil)] {
            let result = Result { try context.startQueue(queue) }
            guard case .failure(let error as IOMMUError) = result else {
                #expect(start == nil && ended == nil && removed == nil && !done.contains(close))
                _ = try context.stopQueue(queue)
                continue
            }
            if done.contains(close) {
                #expect(error.errno == .ENOENT)
            } else if let cause = removed ?? ended {
                #expect(error.errno == cause, "a device that is gone is what a caller hears of, whatever went first")
                #expect(
                    refusal { _ = try laboratory.submit(queue, .checksum(source: 0, length: 1)) }?.errno == error.errno)
                #expect(try context.queueState(queue).state == .zombie)
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
        let mm = try context.createMM()
        #expect(refusal { _ = try context.openQueue(device: plain, mm: mm) }?.errno == .ENODEV)
        let (queue, pasid) = try context.openQueue(device: device, mm: mm)
        #expect(context.bonds().map(\.pasid) == [pasid])
        #expect(try context.stopQueue(queue) == .initial)
        #expect(try context.startQueue(queue) == .started)
        #expect(refusal { _ = try context.startQueue(queue) }?.errno == .EINVAL)
        #expect(try context.stopQueue(queue) == .initial)
        #expect(try context.startQueue(queue) == .started)
        #expect(refusal { _ = try context.unbindSVA(bond: context.bonds().first?.bond ?? 0) }?.errno == .EBUSY)
        let others = try (0..<15).map { _ in try context.openQueue(device: device, mm: mm).queue }
        #expect(refusal { _ = try context.openQueue(device: device, mm: mm) }?.errno == .EBUSY)
        #expect(context.bonds().map(\.users) == [16])
        for other in others { _ = try context.closeQueue(other) }
        #expect(try context.closeQueue(queue) == .started)
        #expect(context.bonds().isEmpty, "closing the last queue unbinds")
        #expect(refusal { _ = try context.closeQueue(queue) }?.errno == .ENOENT)
    }

    @Test func unbindingTheDeviceEndsItsBonds() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("uacce0")
        let mm = try context.createMM()
        let (queue, _) = try context.openQueue(device: device, mm: mm)
        try context.unbind(device: device)
        #expect(refusal { _ = try context.startQueue(queue) }?.errno == .ENODEV)
        #expect(context.bonds().map(\.state) == ["gone"], "the queue still holds it")
        #expect(try laboratory.bind("uacce0") == device)
        let (again, _) = try context.openQueue(device: device, mm: mm)
        #expect(try context.startQueue(again) == .started)
        _ = try context.closeQueue(queue)
        #expect(try context.stopQueue(again) == .initial)
    }
}
