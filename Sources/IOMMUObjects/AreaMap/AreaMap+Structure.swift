/// Splitting and merging of nodes along the remembered way.
extension AreaMap {
    // MARK: Growth

    /// `leaf` is full. Ascending insertions leave full leaves behind, others halves.
    func split(_ leaf: AreaLeaf, inserting area: Area, at index: Int) {
        let right = makeLeaf()
        let isAppend = index == AreaLeaf.capacity && leaf.next == nil
        let kept = isAppend ? AreaLeaf.capacity : AreaLeaf.capacity / 2
        right.move(AreaLeaf.capacity - kept, from: leaf, at: kept, to: 0)
        right.count = AreaLeaf.capacity - kept
        leaf.count = kept
        right.next = leaf.next
        right.previous = leaf
        leaf.next?.previous = right
        leaf.next = right
        if !isAppend {
            leaf.recomputeGap()
            right.recomputeGap()
        }
        if index > kept || isAppend {
            right.insert(area, at: index - kept)
        } else {
            leaf.insert(area, at: index)
        }
        addSibling(summary(of: right), of: summary(of: leaf), isUnchanged: isAppend)
    }

    /// Enters a new leaf beside the one at the end of the remembered way.
    private func addSibling(_ sibling: AreaSubtree, of existing: AreaSubtree, isUnchanged: Bool) {
        var (left, right, isUnchanged) = (existing, sibling, isUnchanged)
        for level in stride(from: height - 1, through: 0, by: -1) {
            let branch = AreaBranch(raw: pathNodes[level])
            let slot = pathSlots[level]
            branch.set(left, at: slot)
            guard branch.count == AreaBranch.capacity else {
                branch.insert(right, at: slot + 1)
                if isUnchanged, slot + 2 == branch.count {
                    branch.maxGap = max(branch.maxGap, right.maxGap, branch.gap(before: slot + 1))
                } else {
                    branch.recomputeGap()
                }
                return propagate(branch.summary, from: level - 1)
            }
            let upper = split(branch, inserting: right, at: slot + 1)
            (left, right, isUnchanged) = (branch.summary, upper.summary, false)
        }
        let top = AreaBranch.allocate()
        top.insert(left, at: 0)
        top.insert(right, at: 1)
        top.recomputeGap()
        root = top.raw
        height += 1
    }

    private func split(_ branch: AreaBranch, inserting subtree: AreaSubtree, at index: Int) -> AreaBranch {
        let upper = AreaBranch.allocate()
        let kept = index == AreaBranch.capacity ? AreaBranch.capacity : AreaBranch.capacity / 2
        upper.move(AreaBranch.capacity - kept, from: branch, at: kept, to: 0)
        upper.count = AreaBranch.capacity - kept
        branch.count = kept
        if index > kept || kept == AreaBranch.capacity {
            upper.insert(subtree, at: index - kept)
        } else {
            branch.insert(subtree, at: index)
        }
        branch.recomputeGap()
        upper.recomputeGap()
        return upper
    }

    // MARK: Shrinking

    /// `leaf`, at the end of the remembered way, has become small or empty.
    func shrink(_ leaf: AreaLeaf) {
        if leaf.count == 0 {
            unlink(leaf)
            return removeSubtree(at: height - 1)
        }
        let parent = AreaBranch(raw: pathNodes[height - 1])
        let slot = pathSlots[height - 1]
        let room = AreaLeaf.capacity * 3 / 4
        if slot + 1 < parent.count, AreaLeaf(raw: parent.node(at: slot + 1)).count + leaf.count <= room {
            merge(AreaLeaf(raw: parent.node(at: slot + 1)), into: leaf, of: parent, at: slot)
        } else if slot > 0, AreaLeaf(raw: parent.node(at: slot - 1)).count + leaf.count <= room {
            merge(leaf, into: AreaLeaf(raw: parent.node(at: slot - 1)), of: parent, at: slot - 1)
        } else {
            propagate(summary(of: leaf), from: height - 1)
        }
    }

    private func merge(_ right: AreaLeaf, into left: AreaLeaf, of parent: AreaBranch, at slot: Int) {
        left.move(right.count, from: right, at: 0, to: left.count)
        left.count += right.count
        left.recomputeGap()
        unlink(right)
        parent.set(summary(of: left), at: slot)
        pathSlots[height - 1] = slot + 1
        removeSubtree(at: height - 1)
    }

    private func unlink(_ leaf: AreaLeaf) {
        leaf.previous?.next = leaf.next
        leaf.next?.previous = leaf.previous
        discard(leaf)
    }

    /// Takes the subtree that the remembered way passes at `level` out of its branch; its memory is gone already.
    private func removeSubtree(at level: Int) {
        guard level >= 0 else {
            root = nil
            height = 0
            return
        }
        let branch = AreaBranch(raw: pathNodes[level])
        branch.remove(at: pathSlots[level])
        guard branch.count > 0 else {
            branch.deallocate()
            return removeSubtree(at: level - 1)
        }
        branch.recomputeGap()
        if level > 0 {
            shrink(branch, at: level)
        }
        while height > 0, let node = root, AreaBranch(raw: node).count == 1 {
            root = AreaBranch(raw: node).node(at: 0)
            AreaBranch(raw: node).deallocate()
            height -= 1
        }
    }

    /// `branch`, at `level` of the remembered way, has lost a subtree; it is not the root.
    private func shrink(_ branch: AreaBranch, at level: Int) {
        let parent = AreaBranch(raw: pathNodes[level - 1])
        let slot = pathSlots[level - 1]
        let room = AreaBranch.capacity * 3 / 4
        let isSmall = branch.count < AreaBranch.capacity / 4
        if isSmall, slot + 1 < parent.count, AreaBranch(raw: parent.node(at: slot + 1)).count + branch.count <= room {
            merge(AreaBranch(raw: parent.node(at: slot + 1)), into: branch, of: parent, at: slot, level: level - 1)
        } else if isSmall, slot > 0, AreaBranch(raw: parent.node(at: slot - 1)).count + branch.count <= room {
            merge(branch, into: AreaBranch(raw: parent.node(at: slot - 1)), of: parent, at: slot - 1, level: level - 1)
        } else {
            propagate(branch.summary, from: level - 1)
        }
    }

    private func merge(
        _ right: AreaBranch, into left: AreaBranch, of parent: AreaBranch, at slot: Int, level: Int
    ) {
        left.move(right.count, from: right, at: 0, to: left.count)
        left.count += right.count
        left.recomputeGap()
        right.deallocate()
        parent.set(left.summary, at: slot)
        pathSlots[level] = slot + 1
        removeSubtree(at: level)
    }
}
