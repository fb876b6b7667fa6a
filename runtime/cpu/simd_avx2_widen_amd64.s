#include "textflag.h"
#include "simd_avx2_amd64.h"

// Stored weights to float32, for AVX2; see simd_avx2_amd64.s.

// The two float32 halves of bf16 pairs w, each times Y11, to even and odd.
#define STOREPAIRS(w, even, odd) \
	VPSLLD $16, w, Y9           \
	VMULPS Y11, Y9, Y9          \
	VMOVUPS Y9, (even)(DI)      \
	VPAND Y12, w, w             \
	VMULPS Y11, w, w            \
	VMOVUPS w, (odd)(DI)

// 64 elements at mem to DI from offset o on, scales in Y11.
#define WIDENHALF(mem, o) \
	VPAND mem, Y13, Y8                \
	E2M1PAIRS(Y8, Y9, Y10)            \
	STOREPAIRS(Y10, o, o+64)          \
	STOREPAIRS(Y8, o+128, o+192)      \
	VMOVDQU mem, Y8                   \
	VPSRLW $4, Y8, Y8                 \
	VPAND Y13, Y8, Y8                 \
	E2M1PAIRS(Y8, Y9, Y10)            \
	STOREPAIRS(Y10, o+32, o+96)       \
	STOREPAIRS(Y8, o+160, o+224)

// 2^120, what an e4m3 number widened in place lacks.
DATA two120x8<>+0(SB)/4, $0x7b800000
GLOBL two120x8<>(SB), RODATA|NOPTR, $4

// func widenBF16AVX2(dst *float32, src *byte, steps, ahead int)
TEXT ·widenBF16AVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
widenBF16loop:
	TESTQ CX, CX
	JZ   widenBF16done
	PREFETCHT0 (SI)(R12*1)
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	DECQ CX
	JMP  widenBF16loop
widenBF16done:
	VZEROUPPER
	RET

// func widenE4M3AVX2(dst *float32, src *byte, steps, ahead int, scale float32)
TEXT ·widenE4M3AVX2(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
	VBROADCASTSS scale+32(FP), Y14
	VBROADCASTSS two120x8<>(SB), Y13
	E4M3CONST
widenE4M3loop:
	TESTQ CX, CX
	JZ   widenE4M3done
	PREFETCHT0 (SI)(R12*1)
	E4M3((SI), Y0)
	E4M3(8(SI), Y1)
	VMULPS Y13, Y0, Y0
	VMULPS Y13, Y1, Y1
	VMULPS Y14, Y0, Y0
	VMULPS Y14, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $16, SI
	ADDQ $64, DI
	DECQ CX
	JMP  widenE4M3loop
widenE4M3done:
	VZEROUPPER
	RET

// func widenE2M1AVX2(dst *float32, src *byte, steps, ahead int, scale *byte)
// Steps are of 128 elements, written in the order of arrangeE2M1AVX2.
TEXT ·widenE2M1AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ ahead+24(FP), R12
	MOVQ scale+32(FP), DX
	E2M1CONSTS
widenE2M1loop:
	TESTQ CX, CX
	JZ   widenE2M1done
	PREFETCHT0 (SI)(R12*1)
	UE8M0PAIR((DX), ·scaleLanes+0, Y11, Y8)
	WIDENHALF((SI), 0)
	UE8M0PAIR((DX), ·scaleLanes+32, Y11, Y8)
	WIDENHALF(32(SI), 256)
	ADDQ $64, SI
	ADDQ $512, DI
	ADDQ $4, DX
	DECQ CX
	JMP  widenE2M1loop
widenE2M1done:
	VZEROUPPER
	RET
