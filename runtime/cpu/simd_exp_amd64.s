#include "textflag.h"

// Attention weights for both instruction sets: maximum of scores, and their exponentials.
//
// exp(t) = 2^n·exp(r) with n the integer nearest to t/ln 2 and |r| <= ln(2)/2, where the Taylor polynomial
// of degree 7 is within 2^-27 of exp(r). r takes ln 2 in two parts, the first short enough for an exact
// product with n. Scaling by 2^n rounds only where the result is subnormal.

// 1/ln 2; ln 2 in two parts; the coefficients 1/7! to 1/2!; 1.
DATA expConsts<>+0(SB)/4, $0x3fb8aa3b
DATA expConsts<>+4(SB)/4, $0x3f317200
DATA expConsts<>+8(SB)/4, $0x35bfbe8e
DATA expConsts<>+12(SB)/4, $0x39500d01
DATA expConsts<>+16(SB)/4, $0x3ab60b61
DATA expConsts<>+20(SB)/4, $0x3c088889
DATA expConsts<>+24(SB)/4, $0x3d2aaaab
DATA expConsts<>+28(SB)/4, $0x3e2aaaab
DATA expConsts<>+32(SB)/4, $0x3f000000
DATA expConsts<>+36(SB)/4, $0x3f800000
// Below -104 every result is zero; less is not needed and 2^n could not hold it.
DATA expConsts<>+40(SB)/4, $0xc2d00000
// For rounding to bf16: one, half a step less one, the upper word; the exponent of one.
DATA expConsts<>+44(SB)/4, $0x00000001
DATA expConsts<>+48(SB)/4, $0x00007fff
DATA expConsts<>+52(SB)/4, $0xffff0000
DATA expConsts<>+56(SB)/4, $0x0000007f
GLOBL expConsts<>(SB), RODATA|NOPTR, $60

// func peak16AVX512(x *float32, steps int) float32
TEXT ·peak16AVX512(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VMOVUPS (SI), Z0
	JMP  peakcheck
peakloop:
	VMAXPS (SI), Z0, Z0
peakcheck:
	ADDQ $64, SI
	DECQ CX
	JNZ  peakloop
	VEXTRACTF64X4 $1, Z0, Y1
	VMAXPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func peak16AVX2(x *float32, steps int) float32
TEXT ·peak16AVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	JMP  peakcheck
peakloop:
	VMAXPS (SI), Y0, Y0
	VMAXPS 32(SI), Y1, Y1
peakcheck:
	ADDQ $64, SI
	DECQ CX
	JNZ  peakloop
	VMAXPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func weigh16AVX512(x *float32, steps int, scale, top float32) (sum float32)
// The order of operands of VMAXPS lets a NaN pass.
TEXT ·weigh16AVX512(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	VBROADCASTSS scale+16(FP), Z31
	VBROADCASTSS top+20(FP), Z30
	VBROADCASTSS expConsts<>+0(SB), Z29
	VBROADCASTSS expConsts<>+4(SB), Z28
	VBROADCASTSS expConsts<>+8(SB), Z27
	VBROADCASTSS expConsts<>+12(SB), Z26
	VBROADCASTSS expConsts<>+16(SB), Z25
	VBROADCASTSS expConsts<>+20(SB), Z24
	VBROADCASTSS expConsts<>+24(SB), Z23
	VBROADCASTSS expConsts<>+28(SB), Z22
	VBROADCASTSS expConsts<>+32(SB), Z21
	VBROADCASTSS expConsts<>+36(SB), Z20
	VBROADCASTSS expConsts<>+40(SB), Z19
	VPBROADCASTD expConsts<>+44(SB), Z18
	VPBROADCASTD expConsts<>+48(SB), Z17
	VPBROADCASTD expConsts<>+52(SB), Z16
	VPXORD Z0, Z0, Z0
weighloop:
	VMOVUPS (SI), Z1
	VFMSUB213PS Z30, Z31, Z1
	VMAXPS Z1, Z19, Z1
	VMULPS Z29, Z1, Z2
	VRNDSCALEPS $0, Z2, Z2
	VFNMADD231PS Z28, Z2, Z1
	VFNMADD231PS Z27, Z2, Z1
	VMOVAPS Z26, Z3
	VFMADD213PS Z25, Z1, Z3
	VFMADD213PS Z24, Z1, Z3
	VFMADD213PS Z23, Z1, Z3
	VFMADD213PS Z22, Z1, Z3
	VFMADD213PS Z21, Z1, Z3
	VFMADD213PS Z20, Z1, Z3
	VFMADD213PS Z20, Z1, Z3
	VSCALEFPS Z2, Z3, Z3
	VADDPS Z3, Z0, Z0
	VPSRLD $16, Z3, Z4
	VPANDD Z18, Z4, Z4
	VPADDD Z17, Z4, Z4
	VPADDD Z4, Z3, Z3
	VPANDD Z16, Z3, Z3
	VMOVUPS Z3, (SI)
	ADDQ $64, SI
	DECQ CX
	JNZ  weighloop
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VHADDPS X0, X0, X0
	VHADDPS X0, X0, X0
	VMOVSS X0, sum+24(FP)
	VZEROUPPER
	RET

// func weigh16AVX2(x *float32, steps int, scale, top float32) (sum float32)
// As weigh16AVX512, eight at a time. 2^n goes into two factors, since n may lie below the exponents.
TEXT ·weigh16AVX2(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ steps+8(FP), CX
	ADDQ CX, CX
	VBROADCASTSS scale+16(FP), Y15
	VBROADCASTSS top+20(FP), Y14
	VBROADCASTSS expConsts<>+0(SB), Y13
	VBROADCASTSS expConsts<>+4(SB), Y12
	VBROADCASTSS expConsts<>+8(SB), Y11
	VBROADCASTSS expConsts<>+36(SB), Y10
	VBROADCASTSS expConsts<>+40(SB), Y9
	VPBROADCASTD expConsts<>+44(SB), Y8
	VPBROADCASTD expConsts<>+48(SB), Y7
	VPBROADCASTD expConsts<>+56(SB), Y6
	VXORPS Y0, Y0, Y0
weighloop:
	VMOVUPS (SI), Y1
	VFMSUB213PS Y14, Y15, Y1
	VMAXPS Y1, Y9, Y1
	VMULPS Y13, Y1, Y2
	VROUNDPS $0, Y2, Y2
	VFNMADD231PS Y12, Y2, Y1
	VFNMADD231PS Y11, Y2, Y1
	VCVTPS2DQ Y2, Y2
	VBROADCASTSS expConsts<>+12(SB), Y3
	VBROADCASTSS expConsts<>+16(SB), Y4
	VFMADD213PS Y4, Y1, Y3
	VBROADCASTSS expConsts<>+20(SB), Y4
	VFMADD213PS Y4, Y1, Y3
	VBROADCASTSS expConsts<>+24(SB), Y4
	VFMADD213PS Y4, Y1, Y3
	VBROADCASTSS expConsts<>+28(SB), Y4
	VFMADD213PS Y4, Y1, Y3
	VBROADCASTSS expConsts<>+32(SB), Y4
	VFMADD213PS Y4, Y1, Y3
	VFMADD213PS Y10, Y1, Y3
	VFMADD213PS Y10, Y1, Y3
	VPSRAD $1, Y2, Y4
	VPSUBD Y4, Y2, Y2
	VPADDD Y6, Y4, Y4
	VPADDD Y6, Y2, Y2
	VPSLLD $23, Y4, Y4
	VPSLLD $23, Y2, Y2
	VMULPS Y4, Y3, Y3
	VMULPS Y2, Y3, Y3
	VADDPS Y3, Y0, Y0
	VPSRLD $16, Y3, Y4
	VPAND Y8, Y4, Y4
	VPADDD Y7, Y4, Y4
	VPADDD Y4, Y3, Y3
	VPSRLD $16, Y3, Y3
	VPSLLD $16, Y3, Y3
	VMOVUPS Y3, (SI)
	ADDQ $32, SI
	DECQ CX
	JNZ  weighloop
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VHADDPS X0, X0, X0
	VHADDPS X0, X0, X0
	VMOVSS X0, sum+24(FP)
	VZEROUPPER
	RET
